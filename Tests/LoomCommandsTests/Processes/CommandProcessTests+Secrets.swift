import Foundation
import LoomModel
import Testing

extension CommandProcessTests {
    /// The line that says what to type next was printed into terminals and logs with the value.
    @Test("the value of --env is printed nowhere, whatever the step program does")
    func secretVariable() async throws {
        let secret = "s3cret-value"
        for (kind, options) in [
            ("good", ["--max-steps", "2"]), ("garbage", []), ("dies", []), ("half", []),
        ] {
            let folder = try CommandFolder()
            var program = CommandFolder.misbehaving(kind)
            program.insert(contentsOf: ["--env", "TOKEN=\(secret)"], at: 0)
            let said = try await folder.call(
                "loomlog", ["run", "demo", "--verbose"] + options, then: program)
            #expect(!said.output.contains(secret) && !said.errors.contains(secret), said.words)
            if kind == "good" {
                #expect(said.output.contains("--env TOKEN --"), said.words)
            }
            for read in [["explain", "demo"], ["attempts", "demo"], ["tail"], ["dump"], ["info"]] {
                let shown = try await folder.call("loomlog", read)
                #expect(!(shown.output + shown.errors).contains(secret), shown.words)
            }
        }
        let missing = try await folder.call(
            "loomlog", ["run", "x", "--env", "TOKEN=\(secret)"], then: ["--", "no-such-program"])
        #expect(missing.status == 64 && missing.isOneError, missing.words)
        #expect(!missing.errors.contains(secret), missing.words)
    }
}
