internal import ArgumentParser
internal import LoomCommands
internal import LoomModel
internal import LoomRunner

/// Counts to a target, one step at a time: the smallest loop that is a program.
@main
struct CounterAgent: StepLoopProgram {
    struct State: Codable, Sendable {
        var current: Int
        var target: Int
    }

    struct Output: Codable, Sendable {
        var current: Int
        var steps: UInt64
    }

    struct Arguments: ParsableArguments {
        @Option(help: "What to count to.") var target = 10
    }

    static let abstract = "Count to a target, durably."
    let name = "counter"

    static func make(_ arguments: Arguments) -> CounterAgent { CounterAgent() }

    static func start(_ arguments: Arguments) -> State {
        State(current: 0, target: arguments.target)
    }

    func step(_ state: State, _ context: StepContext) async throws -> Outcome<State, Output> {
        if state.current >= state.target {
            return .complete(Output(current: state.current, steps: context.attempt.step))
        }
        return .continue(State(current: state.current + 1, target: state.target))
    }
}
