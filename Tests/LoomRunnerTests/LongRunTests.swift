import Foundation
import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomTesting
import Synchronization
import Testing

/// Loops of very many steps: in constant memory, on a small stack.
///
/// LOOMLOG_HEAVY=1 in a release build makes ten million steps (Tools/prove).
@Suite(.serialized) struct LongRunTests {
    static let isHeavy = ProcessInfo.processInfo.environment["LOOMLOG_HEAVY"] != nil

    /// Counts to a target, and notes now and then how much memory the process has of its own.
    private struct Long: StepLoop {
        struct State: Codable, Sendable { var current: Int; var target: Int }
        let name = "long"
        let memory: Memory

        func step(_ state: State, _ context: StepContext) async throws -> Outcome<State, Int> {
            if state.current % memory.every == 0 { memory.note() }
            if state.current == state.target { return .complete(state.current) }
            return .continue(State(current: state.current + 1, target: state.target))
        }
    }

    private final class Memory: Sendable {
        let every: Int
        private let noted = Mutex<[Int]>([])
        var kibibytes: [Int] { noted.withLock { $0 } }

        init(every: Int) { self.every = every }

        func note() {
            let number = ProcessMemory.anonymousKibibytes()
            noted.withLock { $0.append(number ?? .max) }
        }
    }

    @Test("memory does not grow with the steps of a run")
    func constantMemory() async throws {
        let steps = Self.isHeavy ? 10_000_000 : 40_000
        let log = try TemporaryLog()
        let store = try log.open()
        let memory = Memory(every: steps / 200)
        let runner = Runner(Long(memory: memory), store: store)
        let result = try await runner.start(
            RunID("long"), state: .init(current: 0, target: steps))
        try store.close()
        #expect(result.output == steps)
        let figures = memory.kibibytes
        try #require(figures.count == 201)
        // The archiver gathers a segment at a time: the memory rises and falls with it. So the
        // peaks are compared, those of the later half with those before; what grew by 7 bytes a
        // step would be found. Beside other tests this says little, alone much.
        if Self.isHeavy {
            let peaks = stride(from: 1, to: 201, by: 20).map { figures[$0..<($0 + 20)].max() ?? 0 }
            print("\(steps) steps, peaks of own memory in KiB by tenths: \(peaks)")
            let (before, after) = (peaks[1..<5].max() ?? 0, peaks[5...].max() ?? .max)
            #expect(after < before + 32_768 && after < 307_200)
        }
        // What it left can be read in constant memory too.
        let before = Memory(every: 1)
        before.note()
        let reader = try log.reader()
        #expect(try reader.get(RunID("long")).summary.stepIndex == UInt64(steps))
        #expect(try reader.history(RunID("long"), limit: 2, offset: steps - 1).count == 2)
        before.note()
        let read = before.kibibytes
        if Self.isHeavy { #expect(read[1] < read[0] + 16_384, "\(read)") }
    }

    /// Runs jobs on one thread with a stack of 64 KiB; of 256 where nothing is optimised.
    private final class SmallStack: TaskExecutor {
        private let condition = NSCondition()
        private nonisolated(unsafe) var jobs: [UnownedJob] = []

        init() {
            let thread = Thread { [self] in
                while true { unsafe next().runSynchronously(on: asUnownedTaskExecutor()) }
            }
            #if DEBUG
            thread.stackSize = 256 << 10
            #else
            thread.stackSize = 64 << 10
            #endif
            thread.start()
        }

        private func next() -> UnownedJob {
            condition.lock()
            defer { condition.unlock() }
            while unsafe jobs.isEmpty { condition.wait() }
            return unsafe jobs.removeFirst()
        }

        func enqueue(_ job: consuming ExecutorJob) {
            let job = UnownedJob(job)
            condition.lock()
            unsafe jobs.append(job)
            condition.signal()
            condition.unlock()
        }
    }

    @Test("a loop a million steps deep needs no deeper stack than one of ten")
    func smallStack() async throws {
        let steps = Self.isHeavy ? 1_000_000 : 30_000
        let log = try TemporaryLog()
        let store = try log.open()
        let run = try RunID("deep")
        let output = try await Task(executorPreference: SmallStack()) {
            try await Runner("deep", store: store) {
                (left: Int, context) async throws -> Outcome<Int, Int> in
                // Now and then it gives way, as a real step does.
                if left % 1000 == 0 { await Task.yield() }
                return left == 0 ? .complete(steps) : .continue(left - 1)
            }.start(run, state: steps).output
        }.value
        #expect(output == steps)
        try store.close()
    }
}
