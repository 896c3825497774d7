import Foundation

/// One Swift source of this repository, as the tidiness tests see it.
struct Source {
    /// Its path below the root, for messages.
    let path: String
    /// The module it belongs to: the folder below Sources, Tests or Tools.
    let module: String
    let lines: [String]

    /// The root of the checkout, found from this file.
    static let root = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// Every Swift file below the folder.
    static func all(below folder: String) throws -> [Source] {
        let base = root.appending(path: folder)
        guard let walk = FileManager.default.enumerator(atPath: base.path) else { return [] }
        return try walk.compactMap { $0 as? String }.filter { $0.hasSuffix(".swift") }.sorted()
            .map { name in
                let text = try String(contentsOf: base.appending(path: name), encoding: .utf8)
                return Source(
                    path: "\(folder)/\(name)",
                    module: String(name.prefix { $0 != "/" }),
                    lines: text.split(separator: "\n", omittingEmptySubsequences: false)
                        .map(String.init))
            }
    }

    private static let modifiers: Set<Substring> = [
        "public", "package", "internal", "fileprivate", "private",
    ]

    /// The modules that the file imports.
    var imports: [String] {
        lines.compactMap { line in
            let words = line.split(separator: " ")
            // Not `loomlog import FILE` in the text of a help.
            guard let index = words.firstIndex(of: "import"), words.count > index + 1,
                words[..<index].allSatisfy({ Self.modifiers.contains($0) || $0.hasPrefix("@") })
            else { return nil }
            return String(words[index + 1].prefix { $0 != "." })
        }
    }
}
