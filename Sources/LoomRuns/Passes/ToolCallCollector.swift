internal import LoomFormat
internal import LoomModel

/// Makes the rows of the managed tool calls of a run, in the order in which they began.
///
/// A call whose key dies with its step is final when the step is over. One with a key of the run
/// may be answered from, resolved or corrected as long as the run lives: when the first such row is
/// due, one pass to the end of the run learns that of all of them.
struct ToolCallCollector: RowCollector {
    private let readLate: () throws -> LateCalls
    private let step: UInt64?
    private var window: RowWindow
    var ready = RowQueue<ToolCallRow>()
    /// Rows of the present step.
    private var rows: [ToolCallRow] = []
    /// Indices of rows by the position of their start; an end may come again, as a correction.
    private var started: [UInt64: Int] = [:]
    /// Indices of rows by the position of their end, which is how later attempts name them.
    private var ended: [UInt64: Int] = [:]
    private var late: LateCalls?
    private var isPast = false

    /// - Parameter late: Reads what happened to calls after their steps were over.
    init(late: @escaping () throws -> LateCalls, step: UInt64?, window: RowWindow) {
        (readLate, self.step, self.window) = (late, step, window)
    }

    var isDone: Bool { rows.isEmpty && (window.isFull || isPast) }
    var end: UInt64? { late?.end }

    mutating func after(
        _ event: RunEvent, at place: RunFold.Place, _ position: inout RunPosition
    ) throws {
        switch event.content {
        case .toolStarted(let start): begin(start, event.time, place.position)
        case .toolFinished(let finish):
            guard let index = started[finish.start] else { return }
            ended[place.position] = index
            rows[index].end(finish, event.time)
        case .toolThrew(let start, let failure):
            if let index = started[start] { rows[index].failure = failure }
        case .toolReused(_, let finish):
            if let index = ended[finish] { rows[index].reuseCount += 1 }
        case .stepCommitted(let id, _), .runCompleted(let id, _):
            try endStep()
            if let step, id.step >= step { isPast = true }
        default: break
        }
    }

    private mutating func begin(_ start: ToolStart, _ time: EventTime, _ position: UInt64) {
        if let step, start.attempt.step != step { return }
        guard window.takes() else { return }
        started[position] = rows.count
        rows.append(ToolCallRow(position: position, start: start, started: time))
    }

    private mutating func endStep() throws {
        for var row in rows {
            if !row.start.key.diesWithStep {
                let late = try self.late ?? readLate()
                self.late = late
                late.apply(to: &row)
            }
            ready.append(row)
        }
        rows.removeAll(keepingCapacity: true)
        started.removeAll(keepingCapacity: true)
        ended.removeAll(keepingCapacity: true)
    }

    /// At the end everything was seen that happened to the calls of the present step.
    mutating func finish(_ position: inout RunPosition) {
        for row in rows { ready.append(row) }
        rows.removeAll()
    }
}

/// What happened to tool calls after the step that made them was over.
struct LateCalls {
    private var collector = LateCallCollector()
    /// The position behind what the pass saw: the rows end there as well.
    let end: UInt64

    /// - Parameter pass: One over the run, from before the first such call on.
    init(_ pass: RunPass) throws {
        var pass = pass
        while try pass.next(&collector) {}
        end = pass.position.nextPosition
    }

    func apply(to row: inout ToolCallRow) {
        guard let change = collector.changes[row.position] else { return }
        if let (finish, time) = change.end { row.end(finish, time) }
        if let failure = change.thrown { row.failure = failure }
        row.reuseCount += change.reuseCount
    }
}

private struct LateCallCollector: RunVisitor {
    struct Change {
        var end: (ToolFinish, EventTime)?
        var thrown: Failure?
        var reuseCount: UInt64 = 0

        mutating func end(_ finish: ToolFinish, _ time: EventTime) {
            var finish = finish
            finish.author = finish.authorOfEnd(isFirst: end == nil)
            (end, thrown) = ((finish, time), nil)
        }
    }

    /// By the position of the call's start.
    private(set) var changes: [UInt64: Change] = [:]
    /// Calls of the present step, whose changes the rows see themselves.
    private var present: Set<UInt64> = []
    /// Calls of the steps before it.
    private var earlier: Set<UInt64> = []
    /// Starts by ends.
    private var starts: [UInt64: UInt64] = [:]

    // Only calls whose key outlives its step: nothing happens to others after it.
    mutating func after(
        _ event: RunEvent, at place: RunFold.Place, _ position: inout RunPosition
    ) {
        switch event.content {
        case .toolStarted(let start):
            if !start.key.diesWithStep { present.insert(place.position) }
        case .toolFinished(let finish):
            let isLate = earlier.contains(finish.start)
            guard isLate || present.contains(finish.start) else { return }
            starts[place.position] = finish.start
            if isLate { changes[finish.start, default: Change()].end(finish, event.time) }
        case .toolThrew(let start, let failure):
            guard earlier.contains(start) else { return }
            changes[start, default: Change()].thrown = failure
        case .toolReused(_, let finish):
            guard let start = starts[finish], earlier.contains(start) else { return }
            changes[start, default: Change()].reuseCount += 1
        case .stepCommitted, .runCompleted:
            earlier.formUnion(present)
            present.removeAll(keepingCapacity: true)
        default: break
        }
    }
}

extension ToolKey {
    /// Whether nothing can happen to a call of this key once its step is over.
    fileprivate var diesWithStep: Bool {
        if case .occurrence = self { true } else { false }
    }
}

extension ToolFinish {
    /// Earlier versions did not write whose word it was: of a call that had ended, a person's.
    fileprivate func authorOfEnd(isFirst: Bool) -> Author {
        author == .tool && !isFirst ? .person : author
    }
}

extension ToolCallRow {
    fileprivate mutating func end(_ finish: ToolFinish, _ time: EventTime) {
        author = finish.authorOfEnd(isFirst: finished == nil)
        finished = time
        (result, failure) = (nil, nil)
        switch finish.outcome {
        case .completed(let result):
            status = .completed
            self.result = result
        case .failed(let failure):
            status = .failed
            self.failure = failure
        case .didNotHappen: status = .didNotHappen
        }
    }
}
