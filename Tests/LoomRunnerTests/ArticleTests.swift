import Foundation
import Testing

/// The code of the articles is that of Snippets, which compiles and runs.
@Suite struct ArticleTests {
    static let root = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()
    static let articles = [
        "LoomRunner/LoomRunner.docc/writing-steps.md",
        "LoomRunner/LoomRunner.docc/tools-and-side-effects.md",
        "LoomRunner/LoomRunner.docc/changing-code.md",
        "LoomTesting/LoomTesting.docc/testing-with-crashes.md",
    ]

    @Test("each block of Swift in an article stands in a snippet", arguments: articles)
    func blocks(article: String) throws {
        let text = try String(
            contentsOf: Self.root.appending(path: "Sources/\(article)"), encoding: .utf8)
        let snippets = try Self.snippets()
        let blocks = text.components(separatedBy: "```swift\n").dropFirst().compactMap {
            $0.components(separatedBy: "```").first
        }
        #expect(blocks.count >= 1)
        for block in blocks {
            #expect(snippets.contains(Self.squeezed(block)), "\(article):\n\(block)")
        }
    }

    private static func snippets() throws -> String {
        let folder = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "Snippets")
        return try FileManager.default.contentsOfDirectory(atPath: folder.path).map {
            squeezed(try String(contentsOf: folder.appending(path: $0), encoding: .utf8))
        }.joined(separator: "\n")
    }

    /// Without white space: an article and a snippet break their lines elsewhere.
    static func squeezed(_ text: String) -> String { text.filter { !$0.isWhitespace } }
}
