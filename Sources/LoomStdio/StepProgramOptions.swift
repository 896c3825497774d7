/// How a step program is started.
public struct StepProgramOptions: Sendable {
    /// The command and its arguments; the command is looked up on PATH when it has no slash.
    public var command: [String]
    /// The folder that it runs in; `nil` for the present one.
    public var folder: String?
    /// Names of variables that it gets from this process, besides ``inherited``.
    public var passed: [String] = []
    /// Variables that it gets with these values.
    public var variables: [String: String] = [:]
    /// How many copies of the program a ``StdioLoop`` may run at once. 16.
    ///
    /// Each step that runs has a copy to itself. A step for which none is left waits for one.
    public var programsMax = 16
    /// How many tool calls a step may have open at once. 10,000.
    ///
    /// A call is open from the program's `tool` message until the answer that ends the call has
    /// been handed to the program. The program is told this number in loomlog's `hello`.
    public var openCallsMax = 10_000
    /// The longest line, in bytes. 16 MiB.
    public var lineBytesMax = 16 << 20
    /// How long it may take to say hello. 10 s.
    public var helloTimeout = Duration.seconds(10)
    /// How long one step may take; `nil` for as long as it likes. In place of
    /// `RunnerOptions.attemptTimeout`, which could only leave a program behind.
    public var stepTimeout: Duration?
    /// How long a step may go on that was cancelled, before its program is killed. 10 s.
    public var cancelGrace = Duration.seconds(10)
    /// Bytes of its standard error that are passed on for each step; the rest is counted. 64 KiB.
    public var errorBytesMax = 64 << 10
    /// Gets what is passed on, from a thread of each program's own. The program is not read while
    /// this function runs.
    public var errors: @Sendable ([UInt8]) -> Void = { _ in }
    /// How long a program may take to end after its input was closed, and how long after SIGKILL.
    var endGrace = Duration.seconds(1)
    var killGrace = Duration.seconds(10)

    /// Variables that every step program gets, when they are set. Others may hold secrets that it
    /// has no business with.
    public static let inherited = [
        "PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "VIRTUAL_ENV",
        "PYTHONPATH",
    ]

    /// Creates the options for a command.
    public init(_ command: [String]) { self.command = command }
}
