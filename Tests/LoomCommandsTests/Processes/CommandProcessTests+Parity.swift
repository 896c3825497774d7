import LoomModel
import Testing

extension CommandProcessTests {
    /// What the recordings call, as a user types it.
    private struct Call {
        var program: [String]
        var policy: String

        func words(_ name: String) -> [String]? {
            let start = ["run", "--run-id", "demo", "--policy", policy, "--max-steps", "5"]
            switch name {
            case "start(target=10,max_steps=5)", "start again": return start
            case "resume(max_steps=100)", "resume again":
                return ["resume", "--run-id", "demo", "--max-steps", "100"]
            case "start(target=1,max_steps=0) run zero":
                return ["run", "--run-id", "zero", "--policy", policy, "--max-steps", "0"]
                    + ["--input", #"{"current":0,"target":1}"#]
            case "get_run": return ["get", "demo"]
            case "get_run(unknown)": return ["get", "nobody"]
            case "get_history": return ["history", "demo"]
            case "get_history(limit=2,offset=2)":
                return ["history", "demo", "--limit", "2", "--offset", "2"]
            case "get_history(limit=-1)": return ["history", "demo", "--limit", "-1"]
            case "get_attempts": return ["attempts", "demo"]
            case "get_attempts(step_index=2)": return ["attempts", "demo", "--step", "2"]
            case "get_tool_calls": return ["tool-calls", "demo"]
            case "get_stats": return ["stats", "demo"]
            case "verify_run": return ["verify", "demo"]
            case "explain_run": return ["explain", "demo"]
            default: return nil
            }
        }
    }

    static let agents = ["counter-agent", "counter.py", "loomlog reading counter-agent's log"]

    @Test(
        "every recorded call of the counter, as commands, in three policies",
        arguments: agents, ["full", "interval-3", "compact"])
    func recordedCounter(agent: String, policy: String) async throws {
        let recorded = try ParityRules.recording("counter", policy)
        let kept = try #require(ParityTests.policies.first { $0.name == policy }).policy
        let program = agent == "counter.py" ? CommandFolder.example("counter.py") : []
        let call = Call(program: program, policy: policy.replacing("interval-", with: "interval:"))
        for entry in recorded["calls"].elements {
            let name = entry["call"].text
            let words = try #require(call.words(name), "\(name)")
            let drives = ["run", "resume"].contains(words[0])
            let isOurs = drives ? agent != "counter.py" : agent == "counter-agent"
            let said = try await folder.call(
                isOurs ? "counter-agent" : "loomlog", words + ["--json"],
                then: drives ? program : [])
            guard entry["raises"] == .null else {
                #expect(said.status != 0 && said.isOneError, said.words)
                continue
            }
            #expect(said.status == 0, said.words)
            // One line of JSON with sorted keys.
            #expect(said.output.utf8.elementsEqual(said.json.canonicalBytes + [0x0A]), said.words)
            let theirs = ParityRules.recorded(entry["returns"], kept)
            #expect(ParityRules.ours(said.json) == theirs, "\(agent), \(policy): \(name)")
        }
        let list = try await folder.call("loomlog", ["list", "--json"])
        #expect(list.json == recorded["list_runs"])
    }
}
