internal import CLoomSystem
internal import LoomModel
internal import LoomStorage
internal import Synchronization
internal import SystemPackage

/// A step program that runs: a child process in a process group of its own, lines in, lines out.
///
/// A thread of its own starts the process, reads and writes its pipes, and reaps it. Whatever the
/// program does, nothing here waits for it longer than for its line: it is ended in bounded time.
final class StepProgram: Sendable {
    let options: StepProgramOptions
    let errors: ErrorBudget
    let state = Mutex(State())

    /// A message, as far as it is written.
    struct Write {
        var bytes: [UInt8]
        var done: Int
        var continuation: CheckedContinuation<Void, Never>?
    }

    struct State {
        /// Wakes its thread, until that has ended.
        var bell: loom_bell?
        /// Its number, from the start until it is reaped: only so long is it this program's.
        var process: Int32?
        /// Its standard input, while it is open.
        var input: Int32?
        /// Messages that there was no room for in the pipe, in their order.
        var writes = Queue<Write>()
        /// Lines that nobody has taken yet.
        var lines = Queue<[UInt8]>()
        var lineBytes = 0
        /// Whoever waits for a line.
        var reader: CheckedContinuation<[UInt8], any Error>?
        /// Why it is being ended, when it is because of what it did.
        var failure: StepProgramError?
        /// That it has ended, and why nobody will hear of it any more.
        var ending: StepProgramError?
        var enders: [FirstAnswer] = []
        var isKilled = false
        /// It was told to end: its input is closed and what it says is dropped.
        var isStopping = false
        /// It cannot hear any more, or does not speak any more.
        var isDeaf = false
        /// Steps that it was given.
        var turn: Int64 = 0
        /// Whether it was given a step that it has not said the end of.
        var isInStep = false
    }

    /// The programs that run.
    private static let running = Mutex<[ObjectIdentifier: StepProgram]>([:])

    /// Kills every program, at once.
    static func killAll() {
        for program in running.withLock({ Array($0.values) }) { program.kill() }
    }

    /// Starts the program. That the program itself cannot be started is told by ``next()``.
    ///
    /// - Throws: ``StepProgramError/noResources(_:)`` when there is not even a thread for it.
    init(_ options: StepProgramOptions) throws(StepProgramError) {
        self.options = options
        errors = ErrorBudget(options)
        let opened = try SpareDescriptors.opening(1) { () throws(StepProgramError) in
            var bell = loom_bell()
            try unsafe ProgramCommand.check(loom_bell_open(&bell), "its pipes")
            return bell
        }
        state.withLock { $0.bell = opened }
        Self.running.withLock { $0[ObjectIdentifier(self)] = self }
        do throws(StorageError) {
            try WorkerThread.start("step program") { self.live() }
        } catch {
            let error = StepProgramError.noResources("\(error)")
            end(as: error, isOver: true)
            throw error
        }
    }

    /// The program's life, from its start to its end: the body of its thread.
    private func live() {
        loom_thread_block_signals()
        do throws(StepProgramError) {
            var pump = ProgramPump(self, try ChildProcess(ProgramCommand(options)))
            end(as: pump.run(), isOver: true)
        } catch {
            end(as: error, isOver: true)
        }
    }

    /// A new step, by its number for this program: its share of standard error begins.
    func beginStep() -> Int64 {
        errors.flush()
        return state.withLock { state in
            state.turn += 1
            state.isInStep = true
            return state.turn
        }
    }

    /// The program has said how its step ended: it waits for the next one.
    func endStep() { state.withLock { $0.isInStep = false } }

    /// Nobody listens to its step any more. If it is still in it, nothing more is sent to it, and
    /// whoever waits for room in its pipe goes on.
    func breakOff() {
        state.withLock { state in
            guard state.isInStep else { return }
            state.isDeaf = true
            state.dropWrites()
        }
    }

    /// Whether it can be given another step.
    var isUsable: Bool {
        state.withLock { state in
            state.ending == nil && !state.isInStep && !state.isDeaf && !state.isStopping
                && !state.isKilled
        }
    }

    /// Whether it is over, and nothing of it is left.
    var hasEnded: Bool { state.withLock { $0.ending != nil } }

    /// The next message; throws how the program ended when there is none. For one task at a time.
    func next() async throws -> ProgramLine {
        let line = try await withCheckedThrowingContinuation { continuation in
            state.withLock { state in
                if let line = state.lines.popFirst() {
                    let wasFull = state.isFull
                    state.lineBytes -= line.count
                    if wasFull, !state.isFull { state.ring() }
                    continuation.resume(returning: line)
                } else if let ending = state.ending {
                    continuation.resume(throwing: ending)
                } else {
                    state.reader = continuation
                }
            }
        }
        return try ProgramLine(line)
    }

    /// Sends one message, and returns once it is in the program's pipe or never will be. That the
    /// program is gone is told by ``next()``.
    func send(_ message: JSONValue) async {
        let line = message.canonicalBytes + [0x0A]
        await withCheckedContinuation { write(line, $0) }
    }

    /// Sends one message without waiting for room in the pipe: the caller can read meanwhile.
    func post(_ message: JSONValue) { write(message.canonicalBytes + [0x0A], nil) }

    private func write(_ line: [UInt8], _ continuation: CheckedContinuation<Void, Never>?) {
        state.withLock { state in
            guard state.ending == nil, !state.isStopping, !state.isDeaf else {
                continuation?.resume()
                return
            }
            state.writes.append(Write(bytes: line, done: 0, continuation: continuation))
            // In place when nothing waits before it: by the thread it would be there later.
            if state.writes.count == 1 { flush(&state) }
            if !state.writes.isEmpty { state.ring() }
        }
    }

    /// Writes what there is room for.
    func flush(_ state: inout State) {
        guard let input = state.input else { return }
        while var write = state.writes.first {
            let result = unsafe write.bytes.withUnsafeBytes { bytes in
                let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[write.done...])
                // Never nil: a message has at least its end of line.
                guard let start = rest.baseAddress else { return Int64(0) }
                return unsafe loom_pipe_write(input, start, rest.count)
            }
            guard result > 0 else {
                if result == -Int64(Errno.wouldBlock.rawValue) { return }
                return deafen(&state, "input")
            }
            write.done += Int(result)
            if write.done < write.bytes.count {
                state.writes.first = write
            } else {
                _ = state.writes.popFirst()
                write.continuation?.resume()
            }
        }
    }

    /// It closed its standard input or output. It gets a moment to end by itself, as that says
    /// more, and may still say what it has to.
    func deafen(_ state: inout State, _ pipe: String) {
        state.dropWrites()
        guard !state.isDeaf, !state.isStopping else { return }
        state.isDeaf = true
        Task {
            guard await !ends(within: options.endGrace) else { return }
            fail(with: .closedPipe(pipe))
        }
    }

    /// Ends the program because of what it did.
    func fail(with error: StepProgramError) {
        state.withLock { $0.failure = $0.failure ?? error }
        kill()
    }
}

// Its end.
extension StepProgram {
    /// Kills the program and everything in its process group, at once. If it is not gone after
    /// a while, it is given up: nobody waits for it for ever.
    func kill() {
        let isFirst = state.withLock { state in
            guard state.ending == nil else { return false }
            if let process = state.process { loom_program_kill(process) }
            defer { state.isKilled = true }
            return !state.isKilled
        }
        guard isFirst else { return }
        Task {
            guard await !ends(within: options.killGrace) else { return }
            end(as: .notEnded(state.withLock { $0.process }), isOver: false)
        }
    }

    /// Closes its standard input, gives it a moment to end, then kills it.
    ///
    /// - Throws: ``StepProgramError/notEnded(_:)`` when it cannot be killed.
    func stop() async throws(StepProgramError) {
        state.withLock { state in
            state.isStopping = true
            state.dropWrites()
            // Nobody listens any more: what it still says is read and dropped.
            state.lines = Queue()
            state.lineBytes = 0
            state.ring()
        }
        if await !ends(within: options.endGrace) {
            kill()
            _ = await ends(within: options.killGrace * 2)
        }
        if case .notEnded(let process)? = state.withLock({ $0.ending }) { throw .notEnded(process) }
    }

    /// Whether it ends within a time.
    private func ends(within time: Duration) async -> Bool {
        let answer = FirstAnswer()
        let isOver = state.withLock { state in
            if state.ending == nil { state.enders.append(answer) }
            return state.ending != nil
        }
        if isOver { return true }
        let timer = Task {
            try await Task.sleep(for: time)
            answer.give(false)
        }
        defer { timer.cancel() }
        return await answer.value
    }

    /// Tells everybody who waits for it.
    ///
    /// - Parameter isOver: Whether its thread has ended too.
    private func end(as error: StepProgramError, isOver: Bool) {
        if isOver { Self.running.withLock { $0[ObjectIdentifier(self)] = nil } }
        state.withLock { state in
            if isOver, let bell = state.bell {
                state.bell = nil
                loom_bell_close(bell)
            }
            guard state.ending == nil else { return }
            let ending = state.failure ?? error
            state.ending = ending
            state.dropWrites()
            // Whoever waits found no line.
            state.reader?.resume(throwing: ending)
            state.reader = nil
            for ender in state.enders { ender.give(true) }
            state.enders = []
        }
    }
}

extension StepProgram.State {
    /// Whether the program is not read for now: nobody takes its lines.
    var isFull: Bool { lineBytes > 256 << 10 && !isStopping }

    func ring() {
        if let bell { loom_bell_ring(bell) }
    }

    /// Hands a line to whoever waits for one.
    mutating func add(_ line: [UInt8]) {
        guard !isStopping, ending == nil else { return }
        if let reader {
            self.reader = nil
            reader.resume(returning: line)
        } else {
            lines.append(line)
            lineBytes += line.count
        }
    }

    mutating func dropWrites() {
        while let write = writes.popFirst() { write.continuation?.resume() }
    }
}
