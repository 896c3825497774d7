import LoomModel
import LoomRunner
import Synchronization

/// The error that loom-runner's scenarios throw; its name is part of what is recorded.
struct StepExecutionError: ClassifiedError, CustomStringConvertible {
    let description: String
    let category: FailureCategory
}

/// The five loops of the recordings, as one type that knows which it is.
struct ParityLoop: StepLoop {
    struct State: Codable, Sendable, Equatable {
        var current: Int
        var target: Int
    }
    struct Result: Codable, Sendable, Equatable {
        var current: Int
        var steps: Int
    }
    struct Incremented: Codable, Sendable {
        var current: Int
    }

    let name = "parity"
    let scenario: String

    func step(_ state: State, _ context: StepContext) async throws -> Outcome<State, Result> {
        let attempt = context.attempt
        switch (scenario, state.current) {
        case ("flaky", 2) where attempt.attempt < 2:
            throw StepExecutionError(description: "network wobble", category: .transient)
        case ("invalid", 3):
            throw StepExecutionError(description: "bad shape", category: .validation)
        case ("exhausted", 1):
            throw StepExecutionError(description: "still down", category: .transient)
        default: break
        }
        if state.current >= state.target {
            return .complete(Result(current: state.current, steps: Int(attempt.step)))
        }
        var next = state.current + 1
        if scenario == "tools" {
            let increment = Tool<Int, Incremented>("increment", safety: .idempotent) { value, _ in
                Incremented(current: value + 1)
            }
            next = try await context.call(increment, state.current).current
            if state.current == 2 && attempt.attempt == 0 {
                throw StepExecutionError(description: "after side effect", category: .transient)
            }
        }
        return .continue(State(current: next, target: state.target))
    }
}
