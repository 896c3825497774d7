public import LoomFormat
internal import LoomLog
internal import LoomModel
public import LoomRuns

/// What became of a run that was imported.
public struct ImportedRun: Hashable, Sendable {
    /// Its name here.
    public let run: RunID
    /// Its events, those of the import itself included.
    public let eventCount: Int
    /// Whether all of them were there already: an import that was repeated.
    public let wasThere: Bool
    /// Whether it was being driven when it was exported, and is paused here.
    public let isPaused: Bool
}

/// Why an import was refused. Runs before the one that it names are there.
public enum RunImportError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A run of this name is here, and has other events.
    case runExists(RunID)
    /// The events are none of a run.
    case invalid(RunID, position: UInt64, String)
    /// The events of a run do not stand together.
    case scattered(RunID)
    /// A new name was given for several runs.
    case severalRuns

    /// One line.
    public var description: String {
        switch self {
        case .runExists(let run): "run \(run) exists, with other events"
        case .invalid(let run, let position, let reason):
            "event \(position) of run \(run): \(reason)"
        case .scattered(let run): "the events of run \(run) do not stand together"
        case .severalRuns: "there are several runs, and one new name"
        }
    }
}

/// Appends the events of runs to a log as new runs, with their positions and epochs.
///
/// Where a run of the name was deleted, epochs up to its last are those of the deleted run: the
/// imported ones are counted from there on.
///
/// A run is there whole or not at all, up to 192 MiB of events; a larger one comes in pieces, and
/// an import that was cut goes on where it stood when it is repeated.
public struct RunImport {
    private let store: LogRunStore?
    private let name: RunID?
    private var run: RunID?
    private var fold = OutlineFold(keepsValues: false)
    private var events: [(place: RunFold.Place, body: [UInt8])] = []
    private var done: Set<RunID> = []
    /// What was imported so far.
    public private(set) var runs: [ImportedRun] = []

    private static let unitBytesMax = 192 << 20

    /// Begins an import.
    ///
    /// - Parameters:
    ///   - store: Where to; `nil` to check only. No run of it has been claimed yet.
    ///   - name: The name of the run here, where there is one run.
    public init(into store: LogRunStore?, as name: RunID? = nil) {
        (self.store, self.name) = (store, name)
    }

    /// Takes the next event; those of a run come together and in order.
    public mutating func take(_ event: StoredEvent) throws {
        if run != event.run {
            try endRun()
            guard done.insert(event.run).inserted else {
                throw RunImportError.scattered(event.run)
            }
            if name != nil, done.count > 1 { throw RunImportError.severalRuns }
            run = event.run
        }
        try check(event)
        events.append((event.place, event.body))
    }

    private mutating func check(_ event: StoredEvent) throws(RunImportError) {
        func refusal(_ reason: String) -> RunImportError {
            .invalid(event.run, position: event.place.position, reason)
        }
        let known: RunEvent?
        do throws(FormatError) {
            known = try RunEvent(decoding: event.body.rawSpan)
        } catch {
            throw refusal("\(error)")
        }
        guard let known else {
            do throws(RunFold.Violation) {
                return try fold.skip(at: event.place)
            } catch {
                throw refusal(error.description)
            }
        }
        do throws(OutlineFold.Refusal) {
            try fold.apply(known, at: event.place)
        } catch {
            throw refusal(error.description)
        }
    }

    /// Ends the import: everything is durable when this returns.
    public mutating func finish() throws {
        try endRun()
        if let log = store?.log { try log.waitUntilDurable(log.position) }
    }

    private mutating func endRun() throws {
        guard let source = run else { return }
        let target = name ?? source
        let isPaused = fold.summary.status == .running && !source.isKeeper
        if isPaused { appendPause() }
        if let deleted = try store?.deletedEpoch(of: target) { countEpochs(from: deleted) }
        let wasThere = try append(as: target)
        runs.append(
            ImportedRun(
                run: target, eventCount: events.count, wasThere: wasThere, isPaused: isPaused))
        (run, fold, events) = (nil, OutlineFold(keepsValues: false), [])
    }

    /// Nobody knows what the run does where it comes from.
    private mutating func appendPause() {
        let summary = fold.summary
        let pause = RunEvent(
            time: summary.updated,
            .paused(.requested("imported: it was being driven when it was exported")))
        let place = RunFold.Place(
            position: summary.nextPosition, epoch: summary.epoch + 1)
        events.append((place, pause.encoded()))
    }

    private mutating func countEpochs(from deleted: UInt64) {
        for index in events.indices {
            let place = events[index].place
            events[index].place = RunFold.Place(
                position: place.position, epoch: place.epoch &+ deleted)
        }
    }

    /// - Returns: Whether all was there.
    private func append(as run: RunID) throws -> Bool {
        guard let store else { return false }
        var present = try store.events([RunPart(run)])
        var count = 0
        while let event = try present.next() {
            guard count < events.count, events[count].body == event.body,
                events[count].place == event.place
            else { throw RunImportError.runExists(run) }
            count += 1
        }
        guard count < events.count else { return true }
        var rest = events[count...]
        while let first = rest.first {
            var unit = RecordUnit(
                run: run, epoch: first.place.epoch, position: first.place.position,
                isBarrier: true)
            var (size, epoch) = (0, first.place.epoch)
            while let event = rest.first, size == 0 || size + event.body.count < Self.unitBytesMax {
                if event.place.epoch != epoch {
                    epoch = event.place.epoch
                    unit.turn(toEpoch: epoch, position: event.place.position)
                }
                unit.append(event.body)
                size += event.body.count + 16
                rest.removeFirst()
            }
            try store.log.append(unit)
        }
        return false
    }
}
