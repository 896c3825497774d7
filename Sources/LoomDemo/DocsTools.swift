internal import Foundation
internal import LoomModel
internal import LoomRunner

/// The agent's tools over a folder. They read and change nothing, but each call is written to a
/// journal file when one is given: proof, outside the log, of what really ran.
package struct DocsTools: Sendable {
    /// What search is asked.
    struct Search: Codable, Sendable {
        var folder: String
        var words: [String]
    }

    /// A file that search found.
    struct Hit: Codable, Sendable {
        var file: String
        var score: Int
    }

    /// What read_file is asked.
    struct Read: Codable, Sendable {
        var folder: String
        var file: String
        var words: [String]
    }

    let listFiles: Tool<String, [String]>
    let search: Tool<Search, [Hit]>
    let readFile: Tool<Read, [DocsAgent.Quote]>

    package init(journal: String?) {
        listFiles = Tool("list_files", safety: .idempotent) { folder, call in
            try Self.note(journal, "list_files", call)
            return try Self.textFiles(folder)
        }
        search = Tool("search", safety: .idempotent) { request, call in
            try Self.note(journal, "search", call)
            return try Self.hits(request)
        }
        readFile = Tool("read_file", safety: .idempotent) { request, call in
            try Self.note(journal, "read_file \(request.file)", call)
            return try Self.passages(request)
        }
    }

    /// One line a call, appended with one write: `step attempt tool key`.
    private static func note(_ journal: String?, _ tool: String, _ call: ToolCall) throws {
        guard let journal else { return }
        if !FileManager.default.fileExists(atPath: journal) {
            _ = FileManager.default.createFile(atPath: journal, contents: nil)
        }
        guard let file = FileHandle(forWritingAtPath: journal) else { return }
        defer { try? file.close() }
        try file.seekToEnd()
        let id = call.attempt
        try file.write(
            contentsOf: Data("\(id.step)\t\(id.attempt)\t\(tool)\t\(call.idempotencyKey)\n".utf8))
    }

    private static let endings: Set<String> = [
        "md", "txt", "rst", "swift", "py", "c", "h", "html", "json", "tex", "cfg", "sh", "pl", "el",
        "yml", "yaml", "js", "css", "xml", "log", "conf", "pod", "pm",
    ]
    private static let fileBytesMax = 1 << 20

    /// Names below the folder, in order; hidden ones and build folders are passed over.
    static func textFiles(_ folder: String) throws -> [String] {
        // Also one that is reached by a link.
        let real = URL(filePath: folder).resolvingSymlinksInPath().path
        let kind = try? FileManager.default.attributesOfItem(atPath: real)[.type]
        guard kind as? FileAttributeType == .typeDirectory,
            let walk = FileManager.default.enumerator(atPath: real)
        else { throw StepFailure("there is no folder \(folder)", category: .validation) }
        var files: [String] = []
        while let name = walk.nextObject() as? String {
            let isHidden = name.split(separator: "/").contains { $0.hasPrefix(".") }
            if isHidden { continue }
            let ending = name.split(separator: ".").last.map(String.init) ?? ""
            if endings.contains(ending) { files.append(name) }
        }
        return files.sorted()
    }

    private static func text(_ folder: String, _ file: String) -> String? {
        let path = "\(folder)/\(file)"
        guard let size = try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int,
            size <= fileBytesMax, let data = FileManager.default.contents(atPath: path)
        else { return nil }
        return String(data: data, encoding: .utf8)
    }

    /// Files by how many of the words they hold, then by how often.
    static func hits(_ request: Search) throws -> [Hit] {
        var hits: [Hit] = []
        for file in try textFiles(request.folder) {
            guard let text = text(request.folder, file)?.lowercased() else { continue }
            var score = 0
            for word in request.words where text.contains(word) { score += 1 }
            if score > 0 { hits.append(Hit(file: file, score: score)) }
        }
        return hits.sorted { ($1.score, $0.file) < ($0.score, $1.file) }
    }

    /// The lines of a file that hold most of the words.
    static func passages(_ request: Read) throws -> [DocsAgent.Quote] {
        guard let text = text(request.folder, request.file) else {
            throw StepFailure("\(request.file) is not readable text", category: .validation)
        }
        var quotes: [DocsAgent.Quote] = []
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        for (index, line) in lines.enumerated() {
            let low = line.lowercased()
            let score = request.words.count { low.contains($0) }
            guard score > 0 else { continue }
            let clean = line.trimmingCharacters(in: .whitespaces)
            quotes.append(
                .init(
                    file: request.file, line: index + 1, text: String(clean.prefix(200)),
                    score: score))
        }
        return Array(quotes.sorted { ($1.score, $0.line) < ($0.score, $1.line) }.prefix(3))
    }
}
