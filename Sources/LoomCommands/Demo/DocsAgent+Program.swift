internal import ArgumentParser
internal import Foundation
package import LoomDemo
internal import LoomModel
internal import LoomRunner

/// Options of docs-agent.
package struct DocsArguments: ParsableArguments {
    @Option(help: "The folder of text files; any on this machine.") var folder = "."
    @Option(help: "The question.") var question = "What happens to a run after a crash?"
    @Option(help: "A file that gets a line for every tool call that really runs.")
    var journal: String?
    @Option(help: "Kill this process with SIGKILL in this step, after its tool call was recorded.")
    var killInStep: UInt64?

    package init() {}
}

extension DocsAgent: StepLoopProgram {
    package typealias Arguments = DocsArguments

    package static var abstract: String {
        "Answer a question over a folder of text files, durably."
    }

    package static func make(_ arguments: DocsArguments) throws -> DocsAgent {
        var agent = DocsAgent(tools: DocsTools(journal: arguments.journal))
        if let step = arguments.killInStep {
            agent.afterTool = { context in
                if context.attempt.step == step { kill(getpid(), SIGKILL) }
            }
        }
        return agent
    }

    package static func start(_ arguments: DocsArguments) throws -> State {
        DocsAgent.start(question: arguments.question, folder: arguments.folder)
    }
}
