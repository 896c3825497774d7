import Testing

/// Rules of style that swift-format does not know.
@Suite struct StyleTests {
    @Test("no line is longer than 100 columns, no function than 70 lines")
    func sizes() throws {
        for folder in ["Sources", "Tests"] {
            for source in try Source.all(below: folder) {
                for (index, line) in source.lines.enumerated() where line.count > 100 {
                    Issue.record("\(source.path):\(index + 1) has \(line.count) columns")
                }
                for (start, length) in functions(in: source.lines) where length > 70 {
                    Issue.record("\(source.path):\(start) is a function of \(length) lines")
                }
            }
        }
    }

    @Test("no file is longer than 400 lines")
    func fileLengths() throws {
        for source in try Source.all(below: "Sources") {
            #expect(source.lines.count <= 400, "\(source.path)")
        }
    }

    @Test("nothing that can trap on purpose, and no left-over marks")
    func bannedWords() throws {
        let banned = ["try!", "fatalError(", "TODO", "FIXME", "print(\"DEBUG"]
        for source in try Source.all(below: "Sources") {
            for (index, line) in source.lines.enumerated() {
                for word in banned where line.contains(word) {
                    Issue.record("\(source.path):\(index + 1) holds \(word)")
                }
            }
        }
    }

    /// Where each function begins and its length, by indentation, which the formatter fixes.
    private func functions(in lines: [String]) -> [(start: Int, length: Int)] {
        var found: [(Int, Int)] = []
        for (index, line) in lines.enumerated() {
            let words = line.split(separator: " ")
            guard words.contains("func") || line.contains(" init("), !line.contains("//") else {
                continue
            }
            let indent = String(line.prefix { $0 == " " })
            // The body ends at the first line that is not deeper, unless it closes the parameters.
            let end = lines[(index + 1)...].firstIndex { line in
                !line.isEmpty && !line.hasPrefix(indent + " ") && !line.hasPrefix(indent + ")")
            }
            if let end, lines[end] == indent + "}" { found.append((index + 1, end - index + 1)) }
        }
        return found
    }
}
