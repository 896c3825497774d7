import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomTesting
import Synchronization
import Testing

/// Calls that go on in a task of the user's when their step is over.
@Suite struct OutlivingCallTests {
    private let run: RunID
    private let store = MemoryRunStore()

    init() throws { run = try RunID("demo") }

    /// How the step ends while its call goes on.
    enum Ending: CaseIterable {
        case timeout
        case failure
        case outcome
    }

    /// A bank that answers late, and says truly that nothing has happened until then.
    private final class Bank: Sendable {
        private let charged = Mutex(0)
        private let asked = Mutex(0)
        let (isAsked, mayCharge) = (Gate(), Gate())

        var count: Int { charged.withLock { $0 } }
        var askCount: Int { asked.withLock { $0 } }

        var charge: Tool<Int, Int> {
            Tool(
                "charge", safety: .once,
                reconcile: { _, _ in self.count > 0 ? .happened(1) : .didNotHappen }
            ) { _, _ in
                self.asked.withLock { $0 += 1 }
                self.isAsked.open()
                await self.mayCharge.wait()
                return self.charged.withLock { charged in
                    charged += 1
                    return charged
                }
            }
        }
    }

    private func runner(_ bank: Bank, _ ending: Ending) -> Runner<ClosureLoop<Int, Int>> {
        var options = RunnerOptions.testing
        options.clock = SystemRunClock()
        options.retry.attemptsMax = 1
        if ending == .timeout { options.attemptTimeout = .milliseconds(100) }
        let charge = bank.charge
        let attempts = Mutex(0)
        return Runner("l", store: store, options: options) {
            (_: Int, context) async throws -> Outcome<Int, Int> in
            let isFirst = attempts.withLock { attempts in
                attempts += 1
                return attempts == 1
            }
            guard isFirst else { return .complete(try await context.call(charge, 100)) }
            // Nobody waits for it, and the step's cancellation does not reach it.
            Task { try await context.call(charge, 100) }
            await bank.isAsked.wait()
            switch ending {
            case .timeout: try await Task.sleep(for: .seconds(3600))
            case .failure: throw StepFailure("the attempt fails")
            case .outcome: break
            }
            return .complete(-1)
        }
    }

    /// The run was claimed again while the bank was still at it: `reconcile` said truly that
    /// nothing had happened, and the charge was made twice.
    @Test("a run whose call still runs is claimed by nobody else", arguments: Ending.allCases)
    func claim(ending: Ending) async throws {
        let bank = Bank()
        let runner = runner(bank, ending)
        let first = try await runner.start(run, state: 0)
        #expect(first.status == (ending == .outcome ? .paused : .failed))
        let refusal = Mutex("")
        let run = run
        let early = Task {
            do {
                if first.status == .failed { try await runner.retry(run) }
                _ = try await runner.resume(run)
            } catch { refusal.withLock { $0 = "\(error)" } }
        }
        // Either it is refused, or the bank is asked once more.
        while refusal.withLock({ $0.isEmpty }) && bank.askCount < 2 { await Task.yield() }
        bank.mayCharge.open()
        let told = refusal.withLock { $0 }
        #expect(told.contains("charge") && told.contains("still runs"))
        await early.value
        // The claim goes when the call has ended, and its end is in the log.
        var result: RunResult<ClosureLoop<Int, Int>>?
        for _ in 0..<400 where result == nil {
            do {
                if first.status == .failed { try? await runner.retry(run) }
                result = try await runner.resume(run)
            } catch { try await Task.sleep(for: .milliseconds(5)) }
        }
        #expect(result?.output == 1 && bank.count == 1)
    }
}
