import Testing

/// Swift compares, hashes and sorts strings by Unicode's equivalence, a log by bytes.
@Suite struct ByteTests {
    /// Where Swift's comparison is right: text for people, the environment, ASCII of our own.
    private static let exceptions: Set<String> = [
        "Sources/LoomCommands/Demo/DemoCommand.swift", "Sources/LoomCommands/Output/Output.swift",
        "Sources/LoomModel/JSON/JSONWriter.swift", "Sources/LoomStdio/ChildProcess.swift",
        "Sources/LoomStdio/ProcessVariables.swift",
        "Sources/LoomStdio/StepProgramOptions.swift", "Sources/LoomTesting/ProcessMemory.swift",
        "Sources/LoomStorage/Simulated/SimulatedNames.swift",
    ]
    /// Types that are only named, never a table.
    private static let types = ["[String: Any].self", "[String: Int]().encode("]

    /// Two file names that differ in bytes were one key of an object, one run, one label.
    @Test("strings are not compared, hashed or prefixed by Swift's own rule")
    func strings() throws {
        let banned = [
            "[String:", "Dictionary<String,", "Set<String>", ".hasPrefix(", ".hasSuffix(",
        ]
        for source in try Source.all(below: "Sources")
        where source.module != "LoomDemo" && !Self.exceptions.contains(source.path) {
            for (index, line) in source.lines.enumerated() {
                let code = line.trimmingPrefix { $0 == " " }
                if code.hasPrefix("//") || Self.types.contains(where: { code.contains($0) }) {
                    continue
                }
                for word in banned where code.contains(word) {
                    Issue.record("\(source.path):\(index + 1) holds \(word); see ByteString")
                }
            }
        }
    }
}
