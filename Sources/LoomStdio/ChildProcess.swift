internal import CLoomSystem
internal import SystemPackage

/// A program that was started, and the ends of its pipes that are kept here.
///
/// Not swift-subprocess: with no descriptor left that library traps or never reaps its child, and
/// its writes raise SIGPIPE in the process that embeds it. Here every failure is an error.
struct ChildProcess {
    /// The process and its process group, until ``reap()``.
    let id: Int32
    /// Its standard input, which is written without waiting.
    let input: Int32
    /// Its standard output, which is read without waiting.
    let output: Int32
    /// Its standard error likewise.
    let errors: Int32
    /// Is ready to be read once the process has ended; `nil` where the system has no such thing,
    /// or no descriptor for it: then ``hasEnded`` is asked from time to time.
    let ending: Int32?

    /// Starts the program.
    ///
    /// - Throws: ``StepProgramError/notStarted(_:)``, ``StepProgramError/noResources(_:)``.
    init(_ command: ProgramCommand) throws(StepProgramError) {
        var pipes = Pipes()
        do throws(StepProgramError) {
            try SpareDescriptors.opening(6) { () throws(StepProgramError) in
                for _ in 0..<3 { try pipes.open() }
            }
            // Ours are the end that writes of the first and the ends that read of the others.
            let ours = [pipes.ends[0].writing, pipes.ends[1].reading, pipes.ends[2].reading]
            for end in ours {
                try ProgramCommand.check(loom_pipe_never_waits(end), "its pipes")
            }
            id = try command.start(
                pipes.ends[0].reading, pipes.ends[1].writing, pipes.ends[2].writing)
            (input, output, errors) = (ours[0], ours[1], ours[2])
        } catch {
            pipes.close()
            throw error
        }
        loom_close(pipes.ends[0].reading)
        loom_close(pipes.ends[1].writing)
        loom_close(pipes.ends[2].writing)
        let process = id
        let watch = try? SpareDescriptors.opening(1) { loom_program_watch(process) }
        ending = watch.flatMap { $0 < 0 ? nil : $0 }
    }

    /// Pipes that are not anybody's yet.
    private struct Pipes {
        var ends: [(reading: Int32, writing: Int32)] = []

        mutating func open() throws(StepProgramError) {
            var (reading, writing) = (Int32(-1), Int32(-1))
            try unsafe ProgramCommand.check(loom_pipe(&reading, &writing), "its pipes")
            ends.append((reading, writing))
        }

        func close() {
            for (reading, writing) in ends {
                loom_close(reading)
                loom_close(writing)
            }
        }
    }

    /// Whether the process has ended. Somebody else in this process may have reaped it.
    var hasEnded: Bool { loom_program_has_ended(id) != 0 }

    /// Takes the status of the ended process, in words. Its number may be another's afterwards.
    func reap() -> String {
        var (code, isSignal) = (Int32(0), false)
        let result = unsafe loom_program_reap(id, &code, &isSignal)
        guard result == 0 else { return "with a status that another part of this process took" }
        return isSignal ? "by signal \(code)" : "with status \(code)"
    }
}

/// What is started: the program's file, its words, its variables and its folder.
struct ProgramCommand {
    private let name: String
    private let words: [String]
    private let folder: String?
    private let variables: [String: [UInt8]]

    init(_ options: StepProgramOptions) {
        name = options.command.first ?? ""
        words = options.command
        folder = options.folder
        var values: [String: [UInt8]] = [:]
        for name in StepProgramOptions.inherited + options.passed {
            values[name] = ProcessVariables.value(name)
        }
        variables = values.merging(options.variables.mapValues { Array($0.utf8) }) { _, given in
            given
        }
    }

    /// Starts it with these descriptors as standard input, output and error.
    func start(
        _ input: Int32, _ output: Int32, _ errors: Int32
    ) throws(StepProgramError) -> Int32 {
        try validate()
        if let folder {
            try unsafe Self.check(loom_check_folder(folder), "the folder \(folder)")
        }
        let texts = variables.map { Array("\($0.key)=".utf8) + $0.value }
        let arguments = Self.joined(words.map { Array($0.utf8) })
        let environment = Self.joined(texts)
        var problem = Errno.noSuchFileOrDirectory
        for path in paths {
            var process: Int32 = 0
            let result = unsafe loom_program_start(
                Self.joined([path]), arguments, words.count, environment, texts.count, folder,
                input, output, errors, &process)
            if result == 0 { return process }
            let error = Errno(rawValue: -result)
            // One that is found and may not be run says more than those that are not there.
            switch error {
            case .noSuchFileOrDirectory, .notDirectory: continue
            case .permissionDenied: problem = error
            default: try Self.check(result, name)
            }
        }
        throw .notStarted("\(name): \(problem)")
    }

    /// Files that may be meant, in the order in which they are tried. Folders of PATH that depend
    /// on the present one are left out.
    private var paths: [[UInt8]] {
        guard !name.utf8.contains(0x2F) else { return [Array(name.utf8)] }
        let path = variables["PATH"] ?? ProcessVariables.value("PATH")
        return (path ?? Array("/usr/bin:/bin".utf8)).split(separator: 0x3A)
            .filter { $0.first == 0x2F }.map { $0 + [0x2F] + name.utf8 }
    }

    private func validate() throws(StepProgramError) {
        guard !name.isEmpty else { throw .notStarted("the command is empty") }
        let names = variables.keys
        guard !names.contains(where: { $0.isEmpty || $0.utf8.contains(UInt8(ascii: "=")) }) else {
            throw .notStarted("a variable's name is empty or has an equals sign")
        }
        let texts = words + [folder ?? ""] + names
        let hasZero = texts.contains { $0.utf8.contains(0) }
        guard !hasZero, !variables.values.contains(where: { $0.contains(0) }) else {
            throw .notStarted("an argument, a variable or the folder has a zero byte")
        }
    }

    /// Texts one after the other, each ended by a zero byte.
    private static func joined(_ texts: [[UInt8]]) -> [CChar] {
        texts.flatMap { $0.map(CChar.init(bitPattern:)) + [0] } + [0]
    }

    /// Throws what the system said. What it has too little of just now is told apart from what is
    /// wrong with the command.
    static func check(_ result: Int32, _ what: String) throws(StepProgramError) {
        guard result < 0 else { return }
        let error = Errno(rawValue: -result)
        switch error {
        case .tooManyOpenFiles, .tooManyOpenFilesInSystem, .noMemory,
            .resourceTemporarilyUnavailable:
            throw .noResources("\(what): \(error)")
        default: throw .notStarted("\(what): \(error)")
        }
    }
}
