import LoomFormat
import LoomModel
import LoomStorage
import LoomTesting
import SystemPackage

@testable import LoomLog
@testable import LoomRuns

/// A log of random runs that is archived, merged and reindexed at random, beside a list of what was
/// written into it.
final class RewrittenStore {
    let storage: SimulatedStorage
    let listed = ListedEvents()
    var random: SeededGenerator
    private let path: FilePath = "/a.loom"
    private let options: LogOptions
    private let semantics: any ArchiveSemantics
    private var writer: LogWriter
    /// What is still to be written of each run.
    private var left: [ArraySlice<StoredEvent>]
    private var fillerPosition: UInt64 = 0
    /// Whole states that were found where a table names them.
    private(set) var namedStates = 0

    init(seed: UInt64, isLong: Bool) throws {
        storage = SimulatedStorage(seed: seed)
        random = SeededGenerator(seed ^ 0xE0A1)
        semantics = seed % 4 == 1 ? ForgetfulIndexer(seed: seed) : RunIndexer()
        var options = LogOptions(durability: .off)
        options.driver = .inline
        options.firstSegmentBytes = 36 << 10
        options.segmentBytesMax = 36 << 10
        options.archiving = ArchivingOptions(semantics)
        options.archiving?.waitingBytesMax = .max
        options.archiving?.merges = seed % 3 == 0
        self.options = options
        writer = try LogWriter(path: path, options: options, storage: storage)
        let names = ["run", "run 1", "ru", "caf\u{e9}", "cafe\u{301}", "r", "\u{1F600}", "z"]
        let count = Int.random(in: 1...names.count, using: &random)
        left = []
        for name in names.shuffled(using: &random).prefix(count) {
            let length = Int.random(in: 1...(isLong ? 160 : 70), using: &random)
            let run = try RandomRun(
                name, seed: random.next(), count: length, oddities: Self.oddities(&random),
                loop: Int.random(in: 0..<4, using: &random) == 0 ? "other" : "dealt")
            left.append(run.events[...])
        }
    }

    private static func oddities(_ random: inout SeededGenerator) -> RandomRun.Oddities {
        let some: [RandomRun.Oddities] = [
            [], [], [], .largeStates, .largeStates, .extraSnapshots, .unknownKinds, .strayEvents,
            [.largeStates, .unknownKinds], [.largeStates, .strayEvents], .unreadable,
        ]
        return some[Int.random(in: 0..<some.count, using: &random)]
    }

    func chance(_ outOf: Int) -> Bool { Int.random(in: 0..<outOf, using: &random) == 0 }

    func reader() throws -> RunReader { try RunReader(path: path, storage: storage) }

    var manifest: Manifest { writer.core.manifests.manifest }

    func close() throws { try writer.close() }

    /// Opens the log again, when it is closed.
    func reopen() throws {
        writer = try LogWriter(path: path, options: options, storage: storage)
    }

    /// Writes the next events of some run as one unit; `false` when there are none.
    func write() throws -> Bool {
        let open = left.indices.filter { !left[$0].isEmpty }
        guard let index = open.randomElement(using: &random) else { return false }
        for _ in 0..<(chance(3) ? Int.random(in: 2...9, using: &random) : 1) {
            guard let first = left[index].first else { break }
            var (unit, place) = ([first], first.place)
            let count = Int.random(in: 1...6, using: &random)
            left[index].removeFirst()
            while unit.count < count, let next = left[index].first,
                next.place.epoch == place.epoch, next.place.position == place.position + 1
            {
                unit.append(next)
                place = next.place
                left[index].removeFirst()
            }
            try append(unit)
        }
        if chance(10) { try fill() }
        if chance(60) {
            try writer.close()
            writer = try LogWriter(path: path, options: options, storage: storage)
        }
        return true
    }

    private func append(_ events: [StoredEvent]) throws {
        guard let first = events.first else { return }
        var unit = RecordUnit(
            run: first.run, epoch: first.place.epoch, position: first.place.position)
        for event in events { unit.append(event.body) }
        try writer.append(unit)
        listed.append(events)
    }

    /// Fills most of a segment with what is no run to this version.
    private func fill() throws {
        let count = Int.random(in: (8 << 10)...(30 << 10), using: &random)
        let body = [200] + RawRun.noise(count, count)
        let place = RunFold.Place(position: fillerPosition, epoch: 1)
        fillerPosition += 1
        try append([StoredEvent(run: try RunID("filler"), place: place, body: body)])
    }
}

// Rewrites.
extension RewrittenStore {
    /// Archives what has ended, and removes the files of it.
    ///
    /// - Parameter rolls: Whether the segment is ended that is written to.
    func archive(rolls: Bool) {
        if rolls { writer.core.monitor.withLock { $0.isRolling = true } }
        writer.runTimers()
        // Files that were superseded just now go a little later.
        storage.advanceClock(nanoseconds: 3_000_000_000)
        writer.runTimers()
    }

    private var archiveCount: Int { manifest.segments.count { $0.role == .archive } }

    /// Merges some adjacent archives, or makes one anew.
    func merge() throws {
        let count = archiveCount
        guard count > 0 else { return }
        let start = Int.random(in: 0..<count, using: &random)
        let length = Int.random(in: 1...min(4, count - start), using: &random)
        try replace(start..<(start + length)) { manifest, id, neighbours in
            try ArchiveMerging(
                directory: writer.core.maker.directory, storage: writer.core.storage,
                semantics: semantics
            ).merge(
                Array(manifest.segments[start..<(start + length)]), of: manifest, as: id, tier: 1,
                beside: neighbours)
        }
    }

    /// Makes one of all archives.
    func mergeAll() throws {
        let count = archiveCount
        guard count > 1 else { return }
        try replace(0..<count) { manifest, id, neighbours in
            try ArchiveMerging(
                directory: writer.core.maker.directory, storage: writer.core.storage,
                semantics: semantics
            ).merge(
                Array(manifest.segments[..<count]), of: manifest, as: id, tier: 1,
                beside: neighbours)
        }
    }

    /// Makes the tables of an archive anew.
    func reindex() throws {
        let count = archiveCount
        guard count > 0 else { return }
        try reindex(Int.random(in: 0..<count, using: &random))
    }

    /// Makes the tables of all archives anew, oldest first.
    func reindexAll() throws {
        for index in 0..<archiveCount { try reindex(index) }
    }

    private func reindex(_ index: Int) throws {
        try replace(index..<(index + 1)) { manifest, id, neighbours in
            try ArchiveReindexing(
                directory: writer.core.maker.directory, storage: writer.core.storage,
                semantics: semantics
            ).build(manifest.segments[index], of: manifest, as: id, beside: neighbours)
        }
    }

    private func replace(
        _ range: Range<Int>,
        _ make: (Manifest, UInt64, ArchiveNeighbours) throws -> ManifestSegment
    ) throws {
        let (core, manifest) = (writer.core, manifest)
        let neighbours = try ArchiveNeighbours(
            of: range, in: manifest, core.maker.directory, core.storage)
        let entry = try make(manifest, core.manifests.reserveSegmentID(), neighbours)
        let inputs = manifest.segments[range]
        guard entry.eventCount == inputs.reduce(0, { $0 + $1.eventCount }) else {
            throw LogError(.corrupt, "a rewrite has \(entry.eventCount) events")
        }
        try core.manifests.edit { $0.supersede(inputs.map(\.segmentID), by: entry) }
    }

    /// What is wrong with the events of the log, if they are not those that were written.
    func problem() throws -> String? {
        var events: [LogEvent] = []
        try LogReader(path: path, storage: storage).scan { events.append($0) }
        let written = Array(listed.units.joined())
        guard events.count == written.count else { return "\(events.count) of \(written.count)" }
        let hiding = Set(listed.names.filter(listed.hides))
        func kept(_ body: [UInt8], _ run: RunID) -> KeptBytes {
            KeptBytes(body, hides: hiding.contains(run))
        }
        for (index, (event, stored)) in zip(events, written).enumerated() {
            guard event.sequence == UInt64(index + 1), event.run == stored.run,
                event.position == stored.place.position, event.epoch == stored.place.epoch,
                kept(event.body, event.run) == kept(stored.body, event.run)
            else { return "event \(index + 1) is not the one that was written" }
        }
        return try namedStatesProblem()
    }

    /// What is wrong with the places that block tables name as those of whole states.
    private func namedStatesProblem() throws -> String? {
        let (core, reader) = (writer.core, try reader())
        for entry in manifest.segments where entry.role == .archive {
            let archive = try ArchiveReader(
                try core.maker.directory.openArchive(
                    entry, storeID: manifest.storeID, core.storage))
            var (rows, lastRun) = (ArchiveRows<RunTableRow>(archive), [Int: RunID]())
            while let row = try rows.next() {
                for block in row.firstBlock..<(row.firstBlock + row.blocksMore + 1)
                where row.hasEvents {
                    lastRun[Int(block)] = row.name
                }
            }
            for (block, run) in lastRun {
                // Where events were passed over nobody begins at a place that a table names.
                guard let known = try listed.row(of: run), known.outline.canBeResumed,
                    known.readError == nil
                else { continue }
                let row = try archive.blockRow(block).row
                guard row.eventsSinceWholeState > 0 else { continue }
                let position = row.endPosition &- row.eventsSinceWholeState
                let part = RunPart(run, from: position, before: position + 1)
                let events = try RunQueries.events(reader, part)
                namedStates += 1
                guard events.contains(where: Self.holdsWholeState) else {
                    return "block \(block) names event \(position) of \(run)"
                }
            }
        }
        return nil
    }

    private static func holdsWholeState(_ stored: StoredEvent) -> Bool {
        switch (try? stored.event())??.content {
        case .created, .migrated: true
        case .snapshot(_, let state): !state.isEmpty
        case .stepCommitted: RunEvent.isWholeCommit(stored.body.rawSpan)
        default: false
        }
    }
}

/// Leaves some summaries out of the tables, as it does where they would be too long.
struct ForgetfulIndexer: ArchiveSemantics {
    let seed: UInt64
    private let base = RunIndexer()

    init(seed: UInt64) { self.seed = seed }

    var summaryVersion: UInt32 { base.summaryVersion }

    private struct Slice: ArchiveSlice {
        var base: any ArchiveSlice
        var random: SeededGenerator

        var deletedEpoch: UInt64? { base.deletedEpoch }

        mutating func take(
            epoch: UInt64, position: UInt64, sequence: UInt64, _ body: RawSpan, give: Give
        ) throws(LogError) {
            random = SeededGenerator(random.next() ^ position)
            try base.take(epoch: epoch, position: position, sequence: sequence, body, give: give)
        }

        mutating func finish(give: Give) throws(LogError) -> ArchivedRun? {
            var row = try base.finish(give: give)
            if random.next() % 3 == 0 { row?.summary = [] }
            return row
        }
    }

    func begin(
        _ run: RunID, after past: (any ArchivedPast)?, newest: [UInt8]?, rewriting own: [UInt8]?
    ) throws(LogError) -> any ArchiveSlice {
        let slice = try base.begin(run, after: past, newest: newest, rewriting: own)
        return Slice(base: slice, random: SeededGenerator(seed))
    }

    func leavesOut(_ summary: [UInt8]) -> Bool { base.leavesOut(summary) }

    func letsLeaveOut(_ body: RawSpan) -> Bool { base.letsLeaveOut(body) }

    func movesWhole(_ row: RunTableRow, newest: [UInt8]?) -> Bool {
        base.movesWhole(row, newest: newest)
    }

    func end(of row: RunTableRow) -> ArchivedEnd? { base.end(of: row) }
}
