internal import LoomFormat
internal import LoomModel
internal import Synchronization

/// The copies of a step program that a loop runs: one for each step that runs, and at most so many.
///
/// A copy that has done a step is kept for the next one, and goes to its run by preference.
final class ProgramPool: Sendable {
    private let options: StepProgramOptions
    private let state = Mutex(State())

    private struct State {
        /// Copies that have nothing to do, the one that was used last at the end.
        var idle: [(program: StepProgram, run: RunID?)] = []
        /// Every copy that is not known to be over.
        var all: [ObjectIdentifier: StepProgram] = [:]
        /// Steps that have a copy, or the right to start one.
        var busy = 0
        /// Steps that wait for either, in their order; a cancelled one is in `order` alone.
        var order = Queue<UInt64>()
        var waiting: [UInt64: CheckedContinuation<StepProgram?, any Error>] = [:]
        var count: UInt64 = 0
        /// How often it was stopped: no program is started for a step that began before.
        var stops = 0

        /// The run's own copy or the one that was used last; those that ended meanwhile are let go.
        mutating func takeIdle(for run: RunID?) -> StepProgram? {
            let count = idle.count
            idle.removeAll { !$0.program.isUsable }
            // One that is about to end is still waited for by `stop()`.
            if idle.count < count { all = all.filter { !$0.value.hasEnded } }
            let own = idle.lastIndex { $0.run == run }
            return own.map { idle.remove(at: $0).program } ?? idle.popLast()?.program
        }
    }

    init(_ options: StepProgramOptions) { self.options = options }

    /// Nobody stopped it: its copies read the end of their input.
    deinit {
        let programs = state.withLock { Array($0.all.values) }
        guard !programs.isEmpty else { return }
        Task { for program in programs { try? await program.stop() } }
    }

    /// How often it was stopped.
    var stops: Int { state.withLock { $0.stops } }

    /// A copy for one step of a run; it is started by `begin` when there is none. Each one is given
    /// back by ``giveBack(_:run:)``.
    func take(
        for run: RunID?, _ begin: (StepProgram) async throws -> Void
    ) async throws -> StepProgram {
        let stops = self.stops
        if let program = try await lease(for: run) { return program }
        do {
            let program = try start(stops)
            do {
                try await begin(program)
                return program
            } catch {
                try? await program.stop()
                forget(program)
                throw self.stops == stops ? error : StepProgramError.stopped
            }
        } catch {
            passOn(nil)
            throw error
        }
    }

    /// Ends a step. A copy that cannot be used again, or is not to be, is stopped first.
    ///
    /// - Throws: ``StepProgramError/notEnded(_:)``.
    func giveBack(_ program: StepProgram, run: RunID?, isSpoiled: Bool = false) async throws {
        if program.isUsable, !isSpoiled { return passOn((program, run)) }
        defer { passOn(nil) }
        defer { forget(program) }
        try await program.stop()
    }

    /// Stops every copy, those in use too: their steps, and those that wait, are interrupted.
    ///
    /// - Throws: ``StepProgramError/notEnded(_:)`` for the first one that could not be ended.
    func stop() async throws {
        let (programs, waiting) = state.withLock { state in
            state.idle = []
            state.stops += 1
            // A cancelled one is in `order` alone, as one is now that is told here.
            defer { state.waiting = [:] }
            return (Array(state.all.values), state.waiting.values)
        }
        for waiter in waiting { waiter.resume(throwing: StepProgramError.stopped) }
        let errors = await withTaskGroup(of: (any Error)?.self) { group in
            for program in programs {
                group.addTask {
                    defer { self.forget(program) }
                    do { try await program.stop() } catch { return error }
                    return nil
                }
            }
            return await group.reduce(into: [any Error]()) { errors, error in
                if let error { errors.append(error) }
            }
        }
        if let error = errors.first { throw error }
    }

    /// Starts a copy, unless the pool was stopped since.
    private func start(_ stops: Int) throws -> StepProgram {
        try state.withLock { state in
            guard state.stops == stops else { throw StepProgramError.stopped }
            let program = try StepProgram(options)
            state.all[ObjectIdentifier(program)] = program
            return program
        }
    }

    private func forget(_ program: StepProgram) {
        state.withLock { $0.all[ObjectIdentifier(program)] = nil }
    }

    /// An idle copy, or `nil` for the right to start one. Waits when neither is to be had.
    private func lease(for run: RunID?) async throws -> StepProgram? {
        let number = state.withLock { state in
            state.count += 1
            return state.count
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                state.withLock { state in
                    if Task.isCancelled {
                        continuation.resume(throwing: CancellationError())
                    } else if state.busy < max(1, options.programsMax) {
                        state.busy += 1
                        continuation.resume(returning: state.takeIdle(for: run))
                    } else {
                        state.order.append(number)
                        state.waiting[number] = continuation
                    }
                }
            }
        } onCancel: {
            state.withLock { $0.waiting.removeValue(forKey: number) }?
                .resume(throwing: CancellationError())
        }
    }

    /// Gives a copy, or with `nil` the right to start one, to the step that waits longest; else the
    /// copy is idle.
    private func passOn(_ used: (program: StepProgram, run: RunID?)?) {
        state.withLock { state in
            while let number = state.order.popFirst() {
                guard let waiter = state.waiting.removeValue(forKey: number) else { continue }
                return waiter.resume(returning: used?.program)
            }
            state.busy -= 1
            if let used { state.idle.append(used) }
        }
    }
}
