internal import CLoomSystem
internal import Synchronization
internal import SystemPackage

/// Moves bytes between a program's pipes and a ``StepProgram`` until the process has ended: what
/// the program's thread does.
///
/// It reads while a write waits for room, and keeps on reading standard error whatever happens.
struct ProgramPump {
    private let program: StepProgram
    private let child: ChildProcess
    private var output: Int32?
    private var errors: Int32?
    private var splitter: LineSplitter
    private var buffer = [UInt8](repeating: 0, count: 64 << 10)

    /// What may still be in the pipes of an ended process; more comes from others who have them.
    private static let restMax = 1 << 20
    /// How often it is asked whether the process has ended, where the system does not tell.
    private static let lookMilliseconds: Int32 = 50

    init(_ program: StepProgram, _ child: ChildProcess) {
        self.program = program
        self.child = child
        output = child.output
        errors = child.errors
        splitter = LineSplitter(limit: program.options.lineBytesMax)
        let isKilled = program.state.withLock { state in
            state.process = child.id
            state.input = child.input
            program.flush(&state)
            return state.isKilled
        }
        if isKilled { loom_program_kill(child.id) }
    }

    /// Returns how the process ended, once it is reaped and every descriptor is closed.
    mutating func run() -> StepProgramError {
        while !turn() {}
        // Whatever it started goes with it; the number is still this program's.
        loom_program_kill(child.id)
        drain()
        let words = program.state.withLock { state in
            state.process = nil
            if let input = state.input { loom_close(input) }
            state.input = nil
            return child.reap()
        }
        if let ending = child.ending { loom_close(ending) }
        closeOutput()
        closeErrors()
        program.errors.flush()
        return .ended(words)
    }

    /// Waits for something to do, and does it; returns whether the process has ended.
    private mutating func turn() -> Bool {
        var watches = interest()
        let time = child.ending == nil ? Self.lookMilliseconds : -1
        if unsafe loom_watch_wait(&watches, watches.count, time) < 0 {
            loom_sleep(UInt64(Self.lookMilliseconds) * 1_000_000)
        }
        if watches[0].is_ready {
            program.state.withLock { if let bell = $0.bell { loom_bell_hush(bell) } }
        }
        if watches[2].is_ready { _ = readErrors() }
        if watches[3].is_ready { _ = readOutput() }
        if watches[4].is_ready { program.state.withLock { program.flush(&$0) } }
        return (watches[1].is_ready || child.ending == nil) && child.hasEnded
    }

    /// What is waited for: the bell, the end, standard error, standard output unless nobody takes
    /// its lines, room for what is to be written. The system leaves -1 out.
    private func interest() -> [loom_watch] {
        program.state.withLock { state in
            if state.isStopping, let input = state.input {
                state.input = nil
                loom_close(input)
            }
            let read = [
                state.bell?.hears, child.ending, errors, state.isFull ? nil : output,
            ]
            let written = state.writes.isEmpty ? nil : state.input
            return read.map { loom_watch(descriptor: $0 ?? -1, writes: false, is_ready: false) }
                + [loom_watch(descriptor: written ?? -1, writes: true, is_ready: false)]
        }
    }

    /// Takes what the ended process left in its pipes. Others may still write to them, for ever.
    private mutating func drain() {
        var (rest, more) = (Self.restMax, Self.restMax)
        while rest > 0, let count = readOutput() { rest -= count }
        while more > 0, let count = readErrors() { more -= count }
    }

    /// Reads once; `nil` when nothing is there.
    private mutating func readOutput() -> Int? {
        guard let output else { return nil }
        let count = read(output)
        guard count > 0 else {
            if count != -Int64(Errno.wouldBlock.rawValue) {
                closeOutput()
                program.state.withLock { program.deafen(&$0, "output") }
            }
            return nil
        }
        let (lines, error) = splitter.add(Array(buffer.prefix(Int(count))))
        program.state.withLock { state in
            for line in lines { state.add(line) }
        }
        if let error {
            closeOutput()
            program.fail(with: error)
        }
        return Int(count)
    }

    private mutating func readErrors() -> Int? {
        guard let errors else { return nil }
        let count = read(errors)
        guard count > 0 else {
            if count != -Int64(Errno.wouldBlock.rawValue) { closeErrors() }
            return nil
        }
        program.errors.add(Array(buffer.prefix(Int(count))))
        return Int(count)
    }

    private mutating func read(_ descriptor: Int32) -> Int64 {
        unsafe buffer.withUnsafeMutableBytes { bytes in
            guard let start = bytes.baseAddress else { return 0 }
            return unsafe loom_pipe_read(descriptor, start, bytes.count)
        }
    }

    private mutating func closeOutput() {
        if let output { loom_close(output) }
        output = nil
    }

    private mutating func closeErrors() {
        if let errors { loom_close(errors) }
        errors = nil
    }
}
