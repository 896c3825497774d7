internal import Foundation
internal import LoomModel
package import LoomRunner

/// Answers a question over a folder of text files: lists them, searches them, reads the best hits,
/// and quotes the passages. The model is built in and deterministic, so that an interrupted run
/// must come to the same transcript as one that was not; the transcript is the state.
package struct DocsAgent: StepLoop {
    package let name = "docs-agent"

    /// What the agent knows: the question, and every message so far.
    package struct State: Codable, Sendable, Equatable {
        var question: String
        var folder: String
        var transcript: [Message]
        /// Files still to be read, best first.
        var unread: [String]
        var quotes: [Quote]
    }

    /// One message of the transcript.
    package struct Message: Codable, Sendable, Equatable {
        var role: String
        var text: String
    }

    /// A passage that answers.
    package struct Quote: Codable, Sendable, Equatable {
        var file: String
        var line: Int
        var text: String
        var score: Int
    }

    /// The end of a run.
    package struct Answer: Codable, Sendable, Equatable {
        var question: String
        var quotes: [Quote]
        var transcript: [Message]
    }

    let tools: DocsTools

    /// Creates the agent with its tools.
    package init(tools: DocsTools) { self.tools = tools }

    /// Files that are read in full before the answer is given.
    package var readsMax = 12
    /// Called in the middle of a step, after its tool call is recorded: for demonstrations of a
    /// crash.
    package var afterTool: (@Sendable (StepContext) async -> Void)?

    package static func start(question: String, folder: String) -> State {
        State(
            question: question, folder: folder,
            transcript: [Message(role: "user", text: question)], unread: [], quotes: [])
    }

    package func step(_ state: State, _ context: StepContext) async throws -> Outcome<State, Answer>
    {
        var state = state
        switch Plan(state, readsMax: readsMax) {
        case .list:
            let files = try await context.call(tools.listFiles, state.folder)
            await afterTool?(context)
            state.say("list_files", "\(files.count) text files")
        case .search(let words):
            let hits = try await context.call(
                tools.search, .init(folder: state.folder, words: words))
            await afterTool?(context)
            state.unread = hits.prefix(readsMax).map(\.file)
            let list = hits.prefix(readsMax).map { "\($0.file) (\($0.score))" }
            state.say("search", "\(hits.count) files: " + list.joined(separator: ", "))
        case .read(let file):
            let passages = try await context.call(
                tools.readFile,
                .init(folder: state.folder, file: file, words: Words.of(state.question)))
            await afterTool?(context)
            state.unread.removeFirst()
            state.quotes += passages
            state.say("read_file", "\(file): \(passages.count) passages")
        case .answer:
            return .complete(state.answer())
        }
        return .continue(state)
    }

    /// What the model decides next: read off the transcript, as a model would.
    private enum Plan {
        case list
        case search([String])
        case read(String)
        case answer

        init(_ state: State, readsMax: Int) {
            let said = state.transcript.map(\.role)
            if !said.contains("list_files") {
                self = .list
            } else if !said.contains("search") {
                self = .search(Words.of(state.question))
            } else if let file = state.unread.first {
                self = .read(file)
            } else {
                self = .answer
            }
        }
    }
}

extension DocsAgent.State {
    fileprivate mutating func say(_ role: String, _ text: String) {
        transcript.append(.init(role: role, text: text))
    }

    /// The best passages, quoted with their places.
    fileprivate func answer() -> DocsAgent.Answer {
        let best = quotes.sorted {
            ($1.score, $0.file, $0.line) < ($0.score, $1.file, $1.line)
        }.prefix(5)
        let lines = best.map { "\($0.file):\($0.line): \($0.text)" }
        let text = lines.isEmpty ? "Nothing found." : lines.joined(separator: "\n")
        return .init(
            question: question, quotes: Array(best),
            transcript: transcript + [.init(role: "assistant", text: text)])
    }
}

/// The words that matter of a question.
enum Words {
    private static let common: Set<String> = [
        "the", "and", "what", "when", "where", "which", "who", "how", "why", "does", "is", "are",
        "was", "for", "with", "that", "this", "from", "into", "has", "have", "its", "can",
        "happens",
    ]

    static func of(_ text: String) -> [String] {
        var seen: Set<String> = []
        return text.lowercased().split { !$0.isLetter && !$0.isNumber }.map(String.init)
            .filter { $0.count > 2 && !common.contains($0) && seen.insert($0).inserted }
    }
}
