internal import ArgumentParser
internal import LoomFormat
internal import LoomLog
internal import LoomModel
internal import LoomRunner

struct CompactCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compact",
        abstract: "Delete old runs or thin them out, and give back the space.",
        discussion: """
            Without options no answer changes: what was deleted is left out of the files. --policy \
            and --delete-finished first change runs that are over: completed and cancelled ones, \
            failed ones with --failed, as retry could open them. Conditions add up.

              loomlog compact --dry-run
              loomlog compact --policy interval:1000 --older-than 30d
              loomlog compact --delete-finished --older-than 90d --label team=infra --now

            A program that has the log does the work, and its runs go on; without one, this \
            command does it. It can be stopped and begun again at any time.

            Files that were replaced go when nobody reads them, after 10 minutes at the latest; \
            with --now at once, before the command returns. They are unlinked, not wiped. \
            quarantine/ in the log, backups and exports are yours to clean.
            """)
    @OptionGroup var ask: AskArguments
    @OptionGroup var selection: SelectionArguments
    @Option(help: "Runs that are over get this policy: interval:N or compact.")
    var policy: PolicyArgument?
    @Flag(help: "Runs that are over are deleted: from then on there are no such runs.")
    var deleteFinished = false
    @Flag(help: "Remove replaced files at once, whoever reads them, and return when they are gone.")
    var now = false
    @Flag(help: "Change nothing; print what would become of which run, and the bytes.")
    var dryRun = false

    func validate() throws {
        if policy != nil && deleteFinished {
            throw ValidationError("--policy or --delete-finished, not both")
        }
        if case .full? = policy?.policy {
            throw ValidationError("--policy full shows no less than any other; nothing is left out")
        }
        if policy == nil && !deleteFinished && !selection.isEmpty {
            throw ValidationError(
                "say what becomes of these runs: --policy POLICY or --delete-finished")
        }
        if deleteFinished && !selection.isNarrow {
            throw ValidationError(
                "--delete-finished needs a condition: --older-than, --run, --label, --loop or "
                    + "--prefix; --older-than 0s means all")
        }
        if dryRun && (ask.noWait || now) {
            throw ValidationError("--dry-run changes nothing: leave out --now and --no-wait")
        }
    }

    private var rules: RetentionRules {
        var rules = RetentionRules()
        if let policy {
            rules.rules.append(RetentionRule(selection.selection, .setPolicy(policy.policy)))
        }
        if deleteFinished { rules.rules.append(RetentionRule(selection.selection, .delete)) }
        return rules
    }

    func run() async throws {
        try await reporting {
            if dryRun {
                let forecast = try CompactionForecast(
                    try LogReader(path: ask.log.directory), rules, now: SystemRunClock().now())
                return ask.output.print(forecast.json, forecast.lines)
            }
            let request = CompactionRequest(rules, removesAtOnce: now)
            let work = CareWork(ask: ask, verb: CompactionRequest.verb)
            let report = try await work.perform(try request.arguments()) { store, progress in
                try await store.compact(request) { progress($0.json) }.json
            }
            guard let report else { return }
            ask.output.print(report, CareWork.lines(report))
        }
    }
}

struct ReindexCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reindex",
        abstract: "Make the tables of archives anew from their events.",
        discussion: """
            Tables are what makes reads fast; all that they tell is in the events. Those that are \
            damaged, missing or of another version are made anew, with --all every one. Events are \
            read only where tables are made: there a damaged one is told, with file and offset. \
            verify reads those of a run.
            """)
    @OptionGroup var ask: AskArguments
    @Flag(help: "Also tables that can be read.") var all = false

    func run() async throws {
        try await reporting {
            let isAll = all
            let arguments = JSONValue.object(["all": .bool(isAll)])
            let work = CareWork(ask: ask, verb: LogRunStore.reindexVerb)
            let report = try await work.perform(arguments) { store, progress in
                try await store.reindex(onlyDamaged: !isAll) { progress($0.json) }.json
            }
            guard let report else { return }
            ask.output.print(report, CareWork.lines(report))
        }
    }
}

/// Which runs that are over.
struct SelectionArguments: ParsableArguments {
    @Option(help: "Only runs whose last event is so old: 90d, 12h, 30m, 45s.")
    var olderThan: AgeArgument?
    @Option(
        name: .customLong("run"), help: "Only this run; may be given several times.")
    var runs: [String] = []
    @Option(help: "Only runs whose name begins like this.") var prefix: String?
    @Option(help: "Only runs of this loop.") var loop: String?
    @Option(
        name: .customLong("label"),
        help: "Only runs with this label, as NAME=VALUE; may be given several times.")
    var labels: [LabelArgument] = []
    @Flag(help: "Failed runs, too.") var failed = false

    func validate() throws { for run in runs { _ = try RunArguments.named(run) } }

    /// Whether it says which runs.
    var isNarrow: Bool {
        olderThan != nil || !runs.isEmpty || prefix != nil || loop != nil || !labels.isEmpty
    }
    var isEmpty: Bool { !isNarrow && !failed }

    var selection: RunSelection {
        var selection = RunSelection()
        let named = runs.compactMap { try? RunArguments.named($0) }
        selection.runs = named.isEmpty ? nil : named
        (selection.prefix, selection.loop) = (prefix, loop)
        selection.labels = labels.map(\.label)
        selection.olderThan = olderThan?.age ?? .zero
        selection.includesFailed = failed
        return selection
    }
}

/// A length of time: a whole number and a unit.
struct AgeArgument: ExpressibleByArgument {
    let age: Duration

    init?(argument: String) {
        let units: [UInt8: Int64] = [
            UInt8(ascii: "s"): 1, UInt8(ascii: "m"): 60, UInt8(ascii: "h"): 3_600,
            UInt8(ascii: "d"): 86_400, UInt8(ascii: "w"): 604_800,
        ]
        let bytes = argument.utf8
        guard let unit = bytes.last.flatMap({ units[$0] }),
            let count = UInt32(Substring(bytes.dropLast())),
            bytes.dropLast().allSatisfy({ (0x30...0x39).contains($0) })
        else { return nil }
        age = .seconds(Int64(count) * unit)
    }
}
