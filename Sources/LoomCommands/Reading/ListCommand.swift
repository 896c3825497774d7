internal import ArgumentParser
internal import LoomFormat
internal import LoomModel
internal import LoomRuns

struct ListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the runs of the log.",
        discussion: "Conditions add up:  loomlog list --status paused --label team=infra")
    @OptionGroup var log: LogArguments
    @OptionGroup var page: PageArguments
    @OptionGroup var output: ListArguments
    @Option(
        help: "Only runs of this status.",
        completion: .list(Self.statuses))
    var status: String?
    @Option(help: "Only runs of this loop.") var loop: String?
    @Option(help: "Only runs whose name begins like this.") var prefix: String?
    @Option(
        name: .customLong("label"),
        help: "Only runs with this label, as NAME=VALUE; may be given several times.")
    var labels: [LabelArgument] = []

    private static let statuses =
        ["interrupted", "damaged", "newer_version"] + RunStatus.allCases.map(\.rawValue)

    func validate() throws {
        if let status, !Self.statuses.contains(status) {
            throw ValidationError(
                "there is no status \(status); there are "
                    + Self.statuses.joined(separator: ", "))
        }
    }

    func run() async throws {
        try await reporting {
            var filter = RunFilter()
            filter.status = status
            filter.loop = loop
            filter.prefix = prefix
            filter.labels = labels.map(\.label)
            var runs = try log.reader().listRows(filter, limit: page.limit, offset: page.offset)
            try output.printRows(["RUN", "STATUS", "STEP", "LOOP", "UPDATED", "LABELS"]) { rows in
                while let view = try runs.next() { rows.print(view.json, Self.row(view)) }
            }
        }
    }

    private static func row(_ view: RunView) -> [String] {
        let labels = view.summary.labels.sorted { $0.key < $1.key }
            .map { "\($0.key)=\($0.value)" }.joined(separator: " ")
        return [
            view.run.rawValue, view.status, "\(view.summary.stepIndex)", view.summary.loop,
            view.summary.updated.iso8601, labels,
        ]
    }
}
