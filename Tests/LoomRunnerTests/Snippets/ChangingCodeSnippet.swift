import LoomFormat
import LoomModel
import LoomRunner
import LoomTesting
import Testing

// The code of Sources/LoomRunner/LoomRunner.docc/changing-code.md.

/// The first version, as it was deployed.
private struct Version1: StepLoop {
    struct State: Codable, Sendable {
        var cents: Int
        var sent: Int
    }
    let name = "invoice"

    func step(_ state: State, _ context: StepContext) async throws -> Outcome<State, Int> {
        .continue(State(cents: state.cents, sent: state.sent + 1))
    }
}

struct Invoice: StepLoop {
    struct State: Codable, Sendable {
        var amount: Int
        var currency: String
        var sent: Int
    }
    let name = "invoice"
    let stateVersion: UInt64 = 2

    func step(_ state: State, _ context: StepContext) async throws -> Outcome<State, Int> {
        if state.sent == 3 { return .complete(state.amount) }
        var next = state
        next.sent += 1
        return .continue(next)
    }

    func migrate(_ state: [UInt8], from version: UInt64) throws -> State {
        struct Old: Codable { var cents: Int; var sent: Int }
        guard version == 1 else {
            throw RunnerError.stateVersion(stored: version, expected: stateVersion)
        }
        let old = try CanonicalJSONDecoder().decode(Old.self, from: state)
        return State(amount: old.cents, currency: "EUR", sent: old.sent)
    }
}

@Suite struct ChangingCodeSnippet {
    @Test func migrates() async throws {
        let store = MemoryRunStore()
        let run = try RunID("invoice-1")
        let old = Runner(Version1(), store: store)
        _ = try await old.start(run, state: .init(cents: 500, sent: 0), stepsMax: 2)
        let result = try await Runner(Invoice(), store: store).resume(run)
        #expect(result.output == 500 && result.stepIndex == 3)
        // From then on it is a run of the new version.
        await #expect(throws: RunnerError.self) { try await old.resume(run) }
    }

    @Test func optionalField() async throws {
        struct State: Codable, Sendable {
            var sent: Int
            var note: String?
        }
        let state = try CanonicalJSONDecoder().decode(
            State.self, from: Array(#"{"sent":2}"#.utf8))
        #expect(state.sent == 2 && state.note == nil)
    }
}
