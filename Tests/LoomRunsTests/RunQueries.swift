import LoomFormat
import LoomModel
import LoomTesting

@testable import LoomRuns

/// What a read said, in a form that is the same for every source of the same events.
enum Answer: Hashable {
    case value(AnyHashable)
    case error(String)

    init(_ body: () throws -> AnyHashable) {
        do {
            self = .value(try body())
        } catch {
            self = .error(Self.words(error))
        }
    }

    /// Without the place of an event in a log, which other sources do not have.
    static func words(_ error: any Error) -> String {
        var words: [Substring] = []
        for word in "\(error)".split(separator: " ") {
            let isPlace = word.first?.isNumber == true && word.contains(":")
            if isPlace, words.last.map({ $0.utf8.elementsEqual("at".utf8) }) == true {
                words[words.count - 2] += word.hasSuffix(":") ? ":" : ""
                words.removeLast()
            } else {
                words.append(word)
            }
        }
        return words.joined(separator: " ")
    }

    /// What tells it from another answer, in some words of each.
    func difference(from other: Answer) -> String {
        if case .value(let mine) = self, case .value(let theirs) = other,
            let mine = mine.base as? [Shown], let theirs = theirs.base as? [Shown]
        {
            return Shown.difference(mine, theirs)
        }
        let (a, b) = (Array(String(describing: self)), Array(String(describing: other)))
        let start = max(0, zip(a, b).prefix { $0 == $1 }.count - 60)
        let parts = [a, b].map { String($0[min(start, $0.count)...].prefix(300)) }
        return parts.joined(separator: "\n!= ")
    }
}

/// One read.
struct RunQuery {
    let name: String
    private let body: (RunReader) throws -> AnyHashable

    init(_ name: String, _ body: @escaping (RunReader) throws -> AnyHashable) {
        (self.name, self.body) = (name, body)
    }

    func answer(_ reader: RunReader) -> Answer { Answer { try body(reader) } }
}

/// What a view shows, with its error in words.
private struct Shown: Hashable {
    /// The first row that is another, and which of its fields are.
    static func difference(_ mine: [Shown], _ theirs: [Shown]) -> String {
        let index = zip(mine, theirs).prefix { $0 == $1 }.count
        guard index < min(mine.count, theirs.count) else {
            return "\(mine.map(\.run)) != \(theirs.map(\.run))"
        }
        let (a, b) = (mine[index], theirs[index])
        var words = ["row \(index): \(a.run) != \(b.run)"]
        if a.values != b.values {
            let sizes = [a, b].map { $0.values.map { $0?.count ?? -1 } }
            words.append("bytes of state and result, -1 for none: \(sizes)")
        }
        if a.words != b.words { words.append("\(a.words) != \(b.words)") }
        let (mine, theirs) = (Mirror(reflecting: a.summary), Mirror(reflecting: b.summary))
        for (x, y) in zip(mine.children, theirs.children)
        where (x.value as? AnyHashable) != (y.value as? AnyHashable) {
            words.append("\(x.label ?? ""): \(x.value) != \(y.value)")
        }
        return words.joined(separator: "\n")
    }

    let run: RunID
    let summary: RunSummary
    let values: [[UInt8]?]
    let words: [String?]

    init(_ view: RunView) {
        (run, summary, values) = (view.run, view.summary, [view.state, view.result])
        words = [view.status, view.holder, view.readError.map(Answer.words)]
    }
}

private struct Told: Hashable {
    let sequence: UInt64
    let run: RunID
    let place: RunFold.Place
    let kept: KeptBytes
}

/// Deals reads of every kind, with edges and random bounds.
struct RunQueries {
    var random: SeededGenerator
    let listed: ListedEvents

    private mutating func number(_ range: ClosedRange<Int>) -> Int {
        Int.random(in: range, using: &random)
    }

    /// Everything that can be asked of a log.
    mutating func all(pages: Int) -> [RunQuery] {
        var queries = lists(count: pages * 2) + tails()
        for run in listed.names + ((try? RunID("none")).map { [$0] } ?? []) {
            queries += of(run, pages: pages)
        }
        return queries
    }

    /// A few of them.
    mutating func some(_ count: Int) -> [RunQuery] {
        Array(all(pages: 1).shuffled(using: &random).prefix(count))
    }

    // MARK: Lists

    private mutating func lists(count: Int) -> [RunQuery] {
        var queries: [RunQuery] = []
        for number in 0..<count {
            let filter = number == 0 ? RunFilter() : filter()
            let (limit, offset) = page(most: 9)
            let order: RunOrder = random.next() % 2 == 0 ? .created : .newest
            let pageCount = self.number(1...3)
            queries.append(
                RunQuery("list \(filter) \(limit ?? -1) \(offset) \(order)") { reader in
                    try reader.listRows(filter, limit: limit, offset: offset, order: order).all()
                        .map(Shown.init)
                })
            queries.append(
                RunQuery("small pages \(filter) \(limit ?? -1) \(offset)") { reader in
                    try reader.listRows(
                        filter, limit: limit, offset: offset, pageCount: pageCount
                    ).all().map(Shown.init)
                })
            queries.append(
                RunQuery("list page by page \(filter) \(order)") { reader in
                    try Self.pages(reader, filter, order, pageCount)
                })
        }
        return queries
    }

    /// A list as whoever shows it page by page sees it: each goes on behind the one before.
    private static func pages(
        _ reader: RunReader, _ filter: RunFilter, _ order: RunOrder, _ count: Int
    ) throws -> AnyHashable {
        var (shown, place): ([Shown], RunListPlace?) = ([], nil)
        while true {
            let page = try reader.listRows(filter, limit: count, order: order, after: place).all()
            shown += page.map(Shown.init)
            guard let last = page.last else { return shown }
            place = RunList.place(behind: last, order)
        }
    }

    private mutating func filter() -> RunFilter {
        let rows = listed.names.compactMap { try? listed.row(of: $0) }
        let times = rows.map(\.outline.summary.updated.microseconds)
        var filter = RunFilter()
        let statuses = [
            "running", "interrupted", "paused", "completed", "failed", "cancelled", "damaged",
            "newer_version", "none",
        ]
        for _ in 0..<number(1...2) {
            let time = (times.randomElement(using: &random) ?? 5) + random.next() % 3
            let moment = EventTime(microseconds: time &- 1)
            switch number(0...8) {
            case 0...1: filter.status = statuses.randomElement(using: &random)
            case 2: filter.loop = ["dealt", "other", "none"].randomElement(using: &random)
            case 3: filter.prefix = ["r", "run", "caf", "none"].randomElement(using: &random)
            case 4:
                let values = ["", "1", "2"]
                filter.labels.append(
                    Label(
                        name: ["a", "b", "c"].randomElement(using: &random) ?? "",
                        value: values.randomElement(using: &random) ?? ""))
            case 5:
                let run = listed.names.randomElement(using: &random)?.rawValue
                filter.labels = [Label(name: "team", value: run ?? "")]
            case 6: filter.category = FailureCategory.allCases.randomElement(using: &random)
            case 7: filter.since = moment
            default: filter.until = moment
            }
        }
        return filter
    }

    /// A limit and an offset about a number of rows.
    private mutating func page(most: Int) -> (limit: Int?, offset: Int) {
        let offset = number(0...3) == 0 ? 0 : number(0...most + 2)
        switch number(0...9) {
        case 0...1: return (nil, offset)
        case 2...3: return (number(0...most + 2), offset)
        default: return (number(0...3), offset)
        }
    }

    // MARK: Tails and events

    private func tails() -> [RunQuery] {
        [0, 1, 7, 100_000].map { tail(nil, last: $0) } + [tail(nil, last: nil)]
    }

    private func tail(_ run: RunID?, last: Int?) -> RunQuery {
        let hiding = Set(listed.names.filter(listed.hides))
        return RunQuery("tail of \(run?.rawValue ?? "all"), last \(last ?? -1)") { reader in
            var tail = try reader.source.tail(of: run, last: last)
            var told: [Told] = []
            while let unit = try tail.next() {
                told += unit.map { sequence, event in
                    Told(
                        sequence: sequence, run: event.run, place: event.place,
                        kept: KeptBytes(event.body, hides: hiding.contains(event.run)))
                }
            }
            return told
        }
    }

    // MARK: One run

    private mutating func of(_ run: RunID, pages: Int) -> [RunQuery] {
        let outline = try? listed.row(of: run)?.outline
        let (summary, hides) = (outline?.summary ?? RunOutline().summary, listed.hides(run))
        var queries = [
            RunQuery("get \(run)") { Shown(try $0.get(run)) },
            RunQuery("stats \(run)") { try $0.stats(run) },
            RunQuery("explain \(run)") { try $0.explain(run) },
            RunQuery("verify \(run)") { reader in
                let (isValid, notes) = try reader.verify(run)
                return notes + ["\(isValid)"]
            },
            RunQuery("outline \(run)") { reader in
                try reader.source.row(of: run).map { KeptOutline($0.outline) }
            },
            RunQuery("events of \(run)") { reader in
                try Self.events(reader, RunPart(run)).map { KeptBytes($0.body, hides: hides) }
            },
            tail(run, last: nil), tail(run, last: number(0...5)), tail(run, last: 10_000),
        ]
        queries += lookUps(run, outline, count: pages)
        for step in steps(of: summary, count: pages * 3) {
            queries.append(RunQuery("state \(run) \(step)") { try $0.state(run, at: step) })
        }
        for step in [nil] + steps(of: summary, count: pages).map({ $0 as UInt64? }) {
            for most in [summary.stepIndex, summary.attemptCount, summary.toolCallCount] {
                let (limit, offset) = step == nil && most == 0 ? (nil, 0) : page(most: Int(most))
                queries += rows(of: run, step, limit, offset)
            }
            queries += rows(of: run, step, nil, 0)
        }
        return queries
    }

    private func rows(
        of run: RunID, _ step: UInt64?, _ limit: Int?, _ offset: Int
    ) -> [RunQuery] {
        let words = "of \(run), step \(step.map { "\($0)" } ?? "-"), \(limit ?? -1) from \(offset)"
        return [
            RunQuery("history \(words)") { try $0.history(run, limit: limit, offset: offset) },
            RunQuery("attempts \(words)") {
                try $0.attempts(run, step: step, limit: limit, offset: offset)
            },
            RunQuery("tool calls \(words)") {
                try $0.toolCalls(run, step: step, limit: limit, offset: offset)
            },
        ]
    }

    /// Steps at the edges and some others.
    private mutating func steps(of summary: RunSummary, count: Int) -> Set<UInt64> {
        let last = summary.stepIndex
        var steps: Set<UInt64> = [0, last, last + 1, .max]
        for _ in 0..<count { steps.insert(UInt64(number(0...Int(last)))) }
        return steps
    }

    static func events(_ reader: RunReader, _ part: RunPart) throws -> [StoredEvent] {
        var (events, found) = (try reader.source.events([part]), [StoredEvent]())
        while let event = try events.next() { found.append(event) }
        return found
    }
}
