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
        help: "Only runs of this status: \(Self.statuses.joined(separator: ", ")).",
        completion: .list(Self.statuses))
    var status: String?
    @Option(help: "Only runs of this loop.") var loop: String?
    @Option(help: "Only runs whose name begins like this.") var prefix: String?
    @Option(
        name: .customLong("label"),
        help: "Only runs with this label, as NAME=VALUE; may be given several times.")
    var labels: [LabelArgument] = []

    @Option(
        help: "Only runs whose last failed attempt was of this category.",
        completion: .list(CategoryArgument.allValueStrings))
    var category: CategoryArgument?
    @Option(help: "Only runs with an event at this time or later: \(TimeArgument.help).")
    var since: TimeArgument?
    @Option(help: "Only runs whose last event is from before this time.")
    var until: TimeArgument?
    @Option(help: "By time of creation: created (the oldest first) or newest.")
    var sort = Order.created
    @Option(help: "Go on behind a run of another list, as its line `next` says.")
    var after: PlaceArgument?

    enum Order: String, ExpressibleByArgument, CaseIterable {
        case created
        case newest
        var order: RunOrder { self == .created ? .created : .newest }
    }

    private static let statuses =
        RunStatus.allCases.map(\.rawValue) + ["interrupted", "damaged", "newer_version"]

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
            filter.category = category?.category
            let now = EventTime.present
            filter.since = since?.moment(before: now)
            filter.until = until?.moment(before: now)
            var runs = try log.reader().listRows(
                filter, limit: page.limit, offset: page.offset, order: sort.order,
                after: after?.place)
            var (count, last): (Int, RunView?) = (0, nil)
            try output.printRows(["RUN", "STATUS", "STEP", "LOOP", "UPDATED", "LABELS"]) { rows in
                while let view = try runs.next() {
                    rows.print(view.json, Self.row(view))
                    (count, last) = (count + 1, view)
                }
            }
            if let last, count == page.limit { tellNext(last) }
        }
    }

    /// Where the page was full: how to go on. For people, so that what reads the list is not
    /// disturbed.
    private func tellNext(_ last: RunView) {
        let place = PlaceArgument(RunList.place(behind: last, sort.order))
        Output.note("next: the same with --after \(NextLine.quoted(place.text))")
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

/// A place in a list of runs: the time of creation in microseconds, a colon, and the run.
struct PlaceArgument: ExpressibleByArgument {
    let place: RunListPlace

    init(_ place: RunListPlace) { self.place = place }

    init?(argument: String) {
        let parts = argument.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let key = UInt64(parts[0]), let run = try? RunID(String(parts[1]))
        else { return nil }
        place = RunListPlace(key: key, run: run)
    }

    var text: String { "\(place.key):\(place.run.rawValue)" }
}

/// A category of failures.
struct CategoryArgument: ExpressibleByArgument {
    let category: FailureCategory

    static let allValueStrings = FailureCategory.allCases.map(\.rawValue)

    init?(argument: String) {
        let known = FailureCategory.allCases.first { $0.rawValue.hasSameBytes(as: argument) }
        guard let known else { return nil }
        category = known
    }
}
