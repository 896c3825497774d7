import Foundation
import LoomCommands
import LoomFormat
import LoomModel
import LoomRunner
import LoomTesting
import Testing

// The program of README.md, but for its @main.
struct Countdown: StepLoopProgram {
    struct State: Codable, Sendable { var left: Int }
    let name = "countdown"

    static func make(_ arguments: NoArguments) -> Countdown { Countdown() }
    static func start(_ arguments: NoArguments) -> State { State(left: 10) }

    func step(_ state: State, _ context: StepContext) async throws -> Outcome<State, String> {
        state.left == 0 ? .complete("liftoff") : .continue(State(left: state.left - 1))
    }
}

@Suite struct ReadmeProgramTests {
    @Test("the program of the README compiles, runs, and is the one above")
    func example() async throws {
        let start = Countdown.start(NoArguments())
        let result = try await Runner(Countdown.make(NoArguments()), store: MemoryRunStore())
            .start(.init("countdown"), state: start)
        #expect(result.output == "liftoff")
        func squeezed(_ text: String) -> String { text.filter { !$0.isWhitespace } }
        let here = try String(contentsOfFile: #filePath, encoding: .utf8)
        let program = here[
            try #require(here.range(of: "struct Countdown"))
                .lowerBound..<(try #require(here.range(of: "@Suite")).lowerBound)]
        let readme = try String(
            contentsOf: CommandFolder.package.appending(path: "README.md"), encoding: .utf8)
        #expect(squeezed(readme).contains(squeezed(String(program))))
    }
}
