import Foundation
import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomTesting
import SystemPackage
import Testing

/// Real processes that drive runs, killed with SIGKILL on the real disk: what ``CrashResumeTests``
/// shows on a simulated one. The heavy form makes 200 kills at random instants:
/// LOOMLOG_KILLS=200 swift test --filter KillRunTests (Tools/prove).
@Suite(.serialized) struct KillRunTests {
    static let asked = Int(ProcessInfo.processInfo.environment["LOOMLOG_KILLS"] ?? "")
    static let kills = asked ?? 12
    static let steps = kills > 50 ? 40 : 12
    static let policies = ["full", "interval:3", "compact"]

    /// How a run goes that nobody kills.
    private struct Whole {
        var output: [String]
        var microseconds: UInt64
        var keys: [CallName: [String]]
    }

    private static func whole(_ durability: Durability, _ policy: String) async throws -> Whole {
        let folder = try LoopFolder()
        let ending = try await folder.start(steps: steps, durability, policy).end()
        let standing = try #require(ending.standing, "\(ending.errors)")
        return Whole(
            output: try #require(standing.output), microseconds: standing.microseconds,
            keys: try folder.world().begun)
    }

    /// What the kills found.
    private struct Figures {
        var kills = 0
        var insideStep = 0
        var insideCall = 0
        var runs = 0
        var longest: UInt64 = 0
        var segments = 0

        var description: String {
            "\(kills) kills over \(runs) runs: \(insideStep) inside a step, \(insideCall) inside "
                + "a tool call; the longest log had \(longest) events, the most segments of one "
                + "were \(segments)"
        }
    }

    @Test("killed at random instants, a run comes to the same end and repeats nothing")
    func randomInstants() async throws {
        var generator = SeededGenerator(2_026)
        var figures = Figures()
        var outputs: Set<[String]> = []
        let combinations = Self.policies.flatMap { policy in
            Durability.allCases.map { (policy, $0) }
        }
        for (index, (policy, durability)) in combinations.enumerated() {
            let whole = try await Self.whole(durability, policy)
            outputs.insert(whole.output)
            let goal = Self.kills * (index + 1) / combinations.count
            while figures.kills < goal {
                try await killRun(policy, durability, whole, goal, &generator, &figures)
            }
        }
        #expect(outputs.count == 1)
        #expect(figures.kills == Self.kills)
        if Self.asked != nil { print(figures.description) }
    }

    /// Kills one run again and again until it comes to its end, or until `goal` kills were made and
    /// it is driven to its end.
    ///
    /// The process times itself and its kill: beside the whole suite this one may be a minute late,
    /// and then waited for ever for a kill that found its process alive.
    private func killRun(
        _ policy: String, _ durability: Durability, _ whole: Whole, _ goal: Int,
        _ generator: inout SeededGenerator, _ figures: inout Figures
    ) async throws {
        let folder = try LoopFolder()
        var frozen: [CallName: Int] = [:]
        figures.runs += 1
        while true {
            var options: [String] = []
            if figures.kills < goal {
                // Not the whole of it: one run is to be killed many times.
                let instant = UInt64.random(in: 0...whole.microseconds / 2, using: &generator)
                options = ["--kill-after", "\(instant)"]
            }
            let ending = try await folder.start(
                steps: Self.steps, durability, policy, options
            ).end()
            let place: Comment = "kill \(figures.kills), \(policy), \(durability)"
            try expectFrozen(frozen, in: folder.world(), place)
            guard ending.isKilled else {
                try #require(ending.status == 0, "\(place): \(ending.errors)")
                // A step that was cut ten times: somebody has looked, and resumes.
                if ending.standing?.pause == "interruptedTooOften" { continue }
                return try checkEnd(folder, ending, whole, place, &figures)
            }
            figures.kills += 1
            guard let reader = try folder.reader() else {
                #expect(try folder.world().begun.isEmpty, place)
                continue
            }
            let remains = try examine(folder, reader, opens: figures.kills % 2 == 0, place)
            if remains.isInsideStep { figures.insideStep += 1 }
            if remains.isInsideCall { figures.insideCall += 1 }
            frozen = try Self.frozen(remains, folder.world())
        }
    }

    /// After a kill: the log verifies as it lies there and holds what the steps were told. Every
    /// second one is opened here, the others are recovered by the next process alone.
    private func examine(
        _ folder: LoopFolder, _ reader: RunReader, opens: Bool, _ place: Comment
    ) throws -> LoopRemains {
        let verified = try reader.verify(folder.run)
        #expect(verified.isValid, "\(place): \(verified.notes)")
        let remains = try LoopRemains(reader, folder.run)
        let missing = try folder.world().answered.subtracting(remains.completed)
        #expect(missing.isEmpty, place)
        guard opens else { return remains }
        let store = try LogRunStore(path: folder.log)
        #expect(store.log.recovery.ending != .tornUnproven, "\(place): \(store.log.recovery)")
        try store.close()
        let opened = try LoopRemains(RunReader(path: folder.log), folder.run)
        #expect(opened.eventCount >= remains.eventCount, place)
        #expect(opened.completed.isSuperset(of: remains.completed), place)
        #expect(try RunReader(path: folder.log).verify(folder.run).isValid, place)
        return opened
    }

    /// The calls that must not be made again, and how often each was: those whose end is in the
    /// log, and all of a committed step.
    private static func frozen(_ remains: LoopRemains, _ world: LoopWorld) -> [CallName: Int] {
        let committed = (0..<remains.stepIndex).flatMap { step in
            ToolSafety.allCases.map { CallName(kind: $0, step: step) }
        }
        return remains.completed.union(committed).reduce(into: [:]) { frozen, call in
            frozen[call] = world.count(call)
        }
    }

    private func expectFrozen(
        _ frozen: [CallName: Int], in world: LoopWorld, _ place: Comment
    ) {
        for (call, count) in frozen where world.count(call) != count {
            Issue.record("\(place): \(call) is complete in the log and was made again")
        }
        #expect(world.repeated.isEmpty, place)
        for (call, keys) in world.begun where call.kind == .once && keys.count > 1 {
            Issue.record("\(place): \(call) happened \(keys.count) times")
        }
    }

    private func checkEnd(
        _ folder: LoopFolder, _ ending: LoopProcess.Ending, _ whole: Whole, _ place: Comment,
        _ figures: inout Figures
    ) throws {
        #expect(ending.standing?.status == "completed", place)
        #expect(ending.standing?.output == whole.output, place)
        let reader = try RunReader(path: folder.log)
        let verified = try reader.verify(folder.run)
        #expect(verified.isValid, "\(place): \(verified.notes)")
        figures.longest = max(
            figures.longest, try reader.get(folder.run).summary.nextPosition)
        figures.segments = max(
            figures.segments, try LogReader(path: folder.log).overview().segmentCount)
        let world = try folder.world()
        for (call, keys) in whole.keys {
            #expect(world.count(call) >= 1, place)
            #expect(Set(world.begun[call] ?? []) == Set(keys), "\(place): another key of \(call)")
        }
        #expect(world.begun.count == whole.keys.count, place)
    }
}

/// A `.once` call whose outcome nobody knows, and two processes that want one run.
extension KillRunTests {
    /// Where the process dies in the call, what a person then says of it, and how often its effect
    /// is there at the end.
    enum Unknown: CaseIterable {
        case happened, didNotHappen, saidNotToHaveHappened

        var option: String { self == .didNotHappen ? "--kill-before" : "--kill-inside" }
        var effectCount: Int { self == .saidNotToHaveHappened ? 2 : 1 }
    }

    @Test(
        "killed in a `.once` call without a closure, a run pauses until it is resolved",
        arguments: Unknown.allCases, Durability.allCases)
    func unknownOutcome(unknown: Unknown, durability: Durability) async throws {
        let steps = 3
        let policy = Self.policies[Durability.allCases.firstIndex(of: durability) ?? 0]
        let call = CallName(kind: .once, step: 1)
        let answers = try await LoopFolder().start(steps: steps, .off, policy).end().standing
        let output = try #require(answers?.output)
        let folder = try LoopFolder()
        func drive(_ options: [String] = []) async throws -> LoopProcess.Ending {
            try await folder.start(
                steps: steps, durability, policy, ["--no-reconcile"] + options
            ).end()
        }
        #expect(try await drive([unknown.option, "1"]).isKilled)
        let effects = try folder.world().count(call)
        #expect(effects == (unknown == .didNotHappen ? 0 : 1))
        // Resumed without an answer, twice: not made.
        for _ in 0..<2 {
            let paused = try await drive()
            #expect(paused.status == 0 && paused.standing?.status == "paused")
            let position = try #require(paused.standing?.call, "\(paused.standing as Any)")
            let summary = try RunReader(path: folder.log).get(folder.run).summary
            #expect(summary.pauseReason == .unknownOutcome(call: position))
            #expect(try folder.world().count(call) == effects)
        }
        let position = try #require(
            try RunReader(path: folder.log).toolCalls(folder.run)
                .first { $0.status == .started && $0.start.name == "once" }?.position)
        let response = Array(#""\#(output[Self.indexOfOnce(in: 1)])""#.utf8)
        let store = try LogRunStore(path: folder.log)
        try await RunControl(store: store).resolve(
            folder.run, call: position,
            as: unknown == .happened ? .completed(result: response) : .didNotHappen)
        try store.close()
        let ending = try await drive()
        #expect(ending.standing?.status == "completed", "\(ending.errors)")
        #expect(ending.standing?.output == output)
        let world = try folder.world()
        #expect(world.count(call) == unknown.effectCount)
        #expect(world.begun.allSatisfy { $0.key == call || $0.value.count == 1 })
        #expect(try RunReader(path: folder.log).verify(folder.run).isValid)
    }

    /// Where the answer of a step's `.once` tool is among those that a state gathers.
    private static func indexOfOnce(in step: Int) -> Int {
        let kinds = ToolSafety.allCases
        return step * kinds.count + (kinds.firstIndex(of: .once) ?? 0)
    }

    @Test("of two processes that want one run, one drives it and the other is told who it is")
    func twoResumers() async throws {
        for round in 0..<5 {
            let durability = Durability.allCases[round % 3]
            let policy = Self.policies[(round + 1) % 3]
            let folder = try LoopFolder()
            // The first two rounds: also the log has to be made.
            if round > 1 {
                let cut = try await folder.start(
                    steps: 12, durability, policy, ["--kill-inside", "1"]
                ).end()
                #expect(cut.isKilled)
            }
            let gate = folder.path.appending("gate").string
            let options = ["--wait-for", gate, "--work", "3000"]
            let both = [
                try await folder.start(steps: 12, durability, policy, options),
                try await folder.start(steps: 12, durability, policy, options),
            ]
            for process in both {
                while !FileManager.default.fileExists(atPath: "\(gate).\(process.pid)") {
                    try await Task.sleep(for: .milliseconds(1))
                }
            }
            #expect(FileManager.default.createFile(atPath: gate, contents: nil))
            let endings = [try await both[0].end(), try await both[1].end()]
            let winners = endings.filter { $0.standing?.status == "completed" }
            let losers = endings.filter { $0.status == 75 && !$0.isKilled }
            guard let winner = winners.first, let loser = losers.first else {
                Issue.record("round \(round): \(endings.map { ($0.status, $0.errors) })")
                continue
            }
            #expect(loser.errors.contains("the log is open for writing by "))
            // LOCK was taken first and its text written then: who came in between read nothing, or
            // the process that held it before.
            #expect(loser.errors.contains("pid \(winner.pid) "), Comment(rawValue: loser.errors))
            let verified = try RunReader(path: folder.log).verify(folder.run)
            #expect(verified.isValid, "round \(round): \(verified.notes)")
            let world = try folder.world()
            #expect(world.begun.count == 12 * ToolSafety.allCases.count)
            #expect(world.begun.values.allSatisfy { $0.count == 1 }, "round \(round)")
        }
    }
    @Test("who comes while a run is driven is told the process that has it")
    func lateComer() async throws {
        let folder = try LoopFolder()
        let slow = try await folder.start(steps: 3, .normal, "full", ["--work", "60000000"])
        while try folder.world().begun.isEmpty { try await Task.sleep(for: .milliseconds(1)) }
        let late = try await folder.start(steps: 3, .normal, "full").end()
        slow.kill()
        let holder = try await slow.end()
        #expect(holder.isKilled && late.status == 75 && late.output.isEmpty)
        #expect(
            late.errors.contains("the log is open for writing by pid \(holder.pid) "),
            "\(late.errors)")
        let ending = try await folder.start(steps: 3, .normal, "full").end()
        #expect(ending.standing?.status == "completed", "\(ending.errors)")
        // The pure call that was cut was made again, nothing else.
        let again = try folder.world().begun.filter { $0.value.count > 1 }
        #expect(Array(again.keys) == [CallName(kind: .pure, step: 0)])
    }
}
