import Foundation
import LoomFormat
import LoomModel
import LoomRunner
import LoomTesting
import Synchronization
import Testing

/// What is recorded of an error: bounded, whatever the error is.
@Suite struct ErrorTextTests {
    let run: RunID
    var options: RunnerOptions { .testing }

    init() throws { run = try RunID("demo") }

    private struct Node: Codable, Sendable {
        var secret = "the value itself"
        var child: [Node] = []

        init(depth: Int) {
            for _ in 0..<depth {
                var parent = self
                parent.child = [self]
                self = parent
            }
        }
    }

    /// The message of the failure of a run whose step returns a value that is nested so deep.
    private func message(depth: Int) async throws -> String {
        let runner = Runner("deep", store: MemoryRunStore(), options: options) {
            (_: Int, _: StepContext) async throws -> Outcome<Int, Node> in
            .complete(Node(depth: depth))
        }
        let result = try await runner.start(run, state: 0)
        #expect(result.status == .failed)
        return result.failure?.message ?? ""
    }

    /// The whole value, 43 KB, was in the message, in the log, in every list.
    @Test("what an encoder refused is named by its type, and its value is not recorded")
    func refusedValue() async throws {
        let message = try await message(depth: 3_000)
        #expect(message.contains("nested deeper than 512"))
        #expect(!message.contains("the value itself"))
        #expect(message.utf8.count < 1_000)
    }

    private struct Huge: Error, CustomStringConvertible {
        var description: String { "begin " + String(repeating: "é", count: 5_000_000) + " end" }
    }

    /// 10 MB went into the log, and into each list.
    @Test("of a huge description the beginning and the end are recorded")
    func hugeDescription() {
        let failure = Failure(recording: Huge())
        #expect(failure.message.utf8.count <= 16 << 10)
        #expect(failure.message.hasPrefix("Huge: begin é"))
        #expect(failure.message.hasSuffix("é end"))
        #expect(failure.message.contains("bytes left out"))
    }
}

// Errors that are slow, deep or circular: without the bound these tests hang or end the process.
extension ErrorTextTests {
    /// The process ended by SIGSEGV while the message was made.
    @Test("a result of 20,000 levels is refused, and the process goes on")
    func deepValue() async throws {
        let message = try await message(depth: 20_000)
        #expect(message.contains("a Node was not encoded: the value is nested deeper than 512"))
        #expect(message.utf8.count < 1_000)
    }

    private struct Slow: ClassifiedError, CustomStringConvertible {
        var category: FailureCategory { .business }
        let isOver = Shared()
        var description: String {
            // Longer than anybody waits; ends with the test.
            for _ in 0..<3_000 where !isOver.value.load(ordering: .relaxed) { usleep(10_000) }
            return "slow"
        }
        final class Shared: Sendable { let value = Atomic(false) }
    }

    @Test("an error that takes long to describe itself is recorded by its type, after a second")
    func slowDescription() {
        let (error, clock) = (Slow(), ContinuousClock())
        let start = clock.now
        let failure = Failure(recording: error)
        #expect(clock.now - start < .seconds(10))
        error.isOver.value.store(true, ordering: .relaxed)
        #expect(failure.message == "Slow: it did not describe itself within a second")
        #expect(failure.category == .business)
    }

    private indirect enum Deep: Error, CustomStringConvertible {
        case end
        case link(Deep)
        var description: String {
            var text = ""
            write(to: &text)
            return text
        }

        private func write(to text: inout String) {
            switch self {
            case .end: text += "end"
            case .link(let next):
                text += "link to "
                next.write(to: &text)
            }
        }
    }

    private indirect enum Plain: Error {
        case end
        case link(Plain, name: String)
    }

    @Test("an error that is nested 30,000 levels deep is recorded, whoever describes it")
    func deepErrors() {
        var (deep, plain) = (Deep.end, Plain.end)
        for _ in 0..<30_000 {
            deep = .link(deep)
            plain = .link(plain, name: "a name")
        }
        let described = Failure(recording: deep).message
        #expect(described.hasPrefix("Deep: link to link to "))
        #expect(described.hasSuffix(" link to end") && described.utf8.count <= 16 << 10)
        let reflected = Failure(recording: plain).message
        #expect(reflected.hasPrefix("Plain: link(link("))
        #expect(reflected.contains("…") && reflected.utf8.count < 2_000)
    }

    private struct Parts: Error {
        final class Loop: @unchecked Sendable {
            var next: Loop?
            var name = "loop"
        }
        enum Kind: Sendable { case small, sized(Int), both(Int, String), inner(any Error) }
        let loop: Loop
        var kinds: [Kind] = [.small, .sized(3), .both(4, "five")]
        var map = ["key": 1.5]
        var none: Int?
        var wide = Array(repeating: UInt8(7), count: 1_000_000)
        var inner: Kind
    }

    @Test("an error without a description is written as Swift does, but bounded, and no circle")
    func reflected() throws {
        let loop = Parts.Loop()
        loop.next = loop
        defer { loop.next = nil }
        let refused = EncodingError.invalidValue(
            Node(depth: 3), .init(codingPath: [], debugDescription: "no room"))
        let message = Failure(recording: Parts(loop: loop, inner: .inner(refused))).message
        #expect(
            message.hasPrefix(
                "Parts: Parts(loop: Loop, kinds: [small, sized(3), both(4, \"five\")], "
                    + "map: [\"key\": 1.5], none: nil, wide: [7, 7, "), "\(message)")
        #expect(message.hasSuffix(", …], inner: inner(a Node was not encoded: no room))"))
        #expect(message.utf8.count < 1_000)
        // Small ones are as they were.
        #expect(Failure(recording: StepFailure("busy")).message == "StepFailure: busy")
        #expect(Failure(recording: Small()).message == "Small: Small()")
    }

    @Test("a coding path of hundreds of long keys is shortened")
    func longPath() throws {
        struct Key: CodingKey {
            let stringValue: String
            var intValue: Int? { nil }
            init(stringValue: String) { self.stringValue = stringValue }
            init?(intValue: Int) { nil }
        }
        let path = (0..<500).map {
            Key(stringValue: "key-\($0)-" + String(repeating: "k", count: 10_000))
        }
        let errors: [any Error] = [
            EncodingError.invalidValue(1, .init(codingPath: path, debugDescription: "bad")),
            DecodingError.dataCorrupted(.init(codingPath: path, debugDescription: "bad")),
        ]
        for error in errors {
            let message = Failure(recording: error).message
            #expect(message.contains("key-0-k") && message.contains("key-499-k"))
            #expect(message.contains("(500 keys)") && message.utf8.count < 2_000)
        }
    }
}

private struct Small: Error {}
