public import LoomFormat
internal import LoomStorage
internal import SystemPackage

/// Reads the units of a log in order, across its segments, and goes on when more are written.
///
/// At the end of the log ``nextUnit(of:)`` returns `nil`; called again later it returns what came
/// in the meantime. Memory is that of the largest unit, and 64 MiB while an archive is read. Every
/// hash is checked on the way, also in segments that were checked before.
///
/// An archive has no units: each of its events comes as one. Where a segment was archived while it
/// was read, or before it was come to, the cursor goes on in the archive, with the next sequence.
///
/// While a writer has the log open, the end is what the writer has published in MARK. Of any other
/// log the end is judged by ``EndOfLog``, as the next writer will judge it.
public struct LogCursor {
    private let directory: LogDirectory
    private let storage: any Storage
    private let manifests: ManifestStore
    private var manifest: Manifest
    private var index = 0
    /// The archive that is being read. The segment is then the first live one, not yet begun.
    private var archive: ArchiveSequence?
    private var segment: SegmentReader
    private var file: any StorageFile
    /// Events before it are passed over.
    private var firstWanted: UInt64
    /// How far the current segment could be read when it was last looked at.
    private var limit: Limit?
    /// A refusal that a second look has to confirm, as a writer may have come or gone meanwhile.
    private var suspicion: LogError?
    /// Whether it stops where the writer stood when it was asked, and leaves what came meanwhile to
    /// the next call: a writer may be faster than any reader.
    var stopsAtPublished = false
    /// The rule by which the end was judged; `nil` before the end, and while a writer has the log.
    private(set) var endRule: EndOfLog.Rule?

    /// - Parameter sequence: The first event to read.
    init(
        directory: LogDirectory, storage: any Storage, from sequence: UInt64 = 1
    ) throws(LogError) {
        self.directory = directory
        self.storage = storage
        manifests = ManifestStore(directory: directory, storage: storage)
        firstWanted = sequence
        let place = try CursorPlace(at: sequence, in: nil, manifests)
        manifest = place.manifest
        (index, archive, segment, file) = (place.index, place.archive, place.segment, place.file)
    }

    /// The place behind what was read.
    public var position: LogPosition {
        LogPosition(
            nextSequence: max(firstWanted, archive?.nextSequence ?? segment.nextSequence))
    }

    /// Reads the next unit.
    ///
    /// - Parameter run: When given, only events of this run are copied out; other units come empty.
    /// - Returns: Its events, or `nil` at the present end of the log.
    /// - Throws: ``LogError`` with code `corrupt` where durable bytes are damaged, and
    ///   `unsupportedVersion` where a newer version wrote. The cursor stays there.
    public mutating func nextUnit(of run: RunID? = nil) throws(LogError) -> [LogEvent]? {
        switch try goToNextUnit() {
        case nil: nil
        case .archived(let event, let id)?:
            run == nil || run == event.run ? [LogEvent(event, in: id)] : []
        case .live(let unit)?: events(of: unit, run)
        }
    }

    /// Reads the next unit and calls `body` with its events, of which no bytes are copied: with
    /// those that follow each other at once.
    ///
    /// - Returns: Whether there was one.
    mutating func nextUnit(
        _ body: (UnitEvents) -> Void
    ) throws(LogError) -> Bool {
        switch try goToNextUnit() {
        case nil: return false
        case .archived(let event, let id)?:
            body(
                UnitEvents(
                    run: event.run, epoch: event.epoch, position: event.position,
                    sequence: event.sequence, count: 1, segmentID: id, offset: event.offset,
                    isArchived: true, mayDelete: false))
        case .live(let unit)?:
            var sequence = unit.firstSequence
            for group in segment.groups {
                let count = UInt64(group.eventCount)
                defer { sequence &+= count }
                if sequence &+ count <= firstWanted { continue }
                body(
                    UnitEvents(
                        run: segment.names[group.run], epoch: group.epoch,
                        position: group.position, sequence: sequence, count: count,
                        segmentID: segment.header.segmentID, offset: unit.offset,
                        isArchived: false, mayDelete: group.kinds.mayHold(EventHead.deletion)))
            }
        }
        return true
    }

    private enum NextUnit {
        /// An event of an archive of this number: there it is a unit.
        case archived(ArchivedEvent, UInt64)
        /// A unit that the segment has just read.
        case live(SegmentReader.Unit)
    }

    private mutating func goToNextUnit() throws(LogError) -> NextUnit? {
        while true {
            endRule = nil
            if let id = archive?.segmentID {
                if let event = try archive?.next() { return .archived(event, id) }
                try openNext()
                continue
            }
            let limit = if let known = self.limit { known } else { try currentLimit() }
            self.limit = limit
            switch try segment.next(limit: limit.offset) {
            case .unit(let unit):
                suspicion = nil
                return .live(unit)
            case .stop(let stop):
                guard try goesOn(after: stop, at: limit) else {
                    self.limit = nil
                    return nil
                }
            }
        }
    }

    /// The segment or archive that is being read, and whether it is an archive.
    var segmentID: UInt64 { manifest.segments[index].segmentID }
    var isInArchive: Bool { archive != nil }

    /// Where the segment ends that is being read, as far as it was read.
    var segmentEnd: Int { segment.validEnd }

    /// When the backup was made that the log is, or was restored from.
    var copyTime: UInt64? { manifest.copy?.time }

    /// The segments that the manifest listed when it was last read.
    var segments: [ManifestSegment] { manifest.segments }

    /// What a backup has of the log: the cursor must stand at its present end.
    var backupView: BackupSource.View {
        BackupSource.View(
            manifest: manifest,
            tail: ManifestSegment(
                segmentID: segment.entry.segmentID, state: .active, ending: .copied,
                firstSequence: segment.entry.firstSequence, endSequence: segment.nextSequence,
                validEnd: UInt64(segment.validEnd), lastHash: segment.lastHash,
                salt: segment.entry.salt),
            file: file)
    }

    /// Bytes of the segments before the current one, and of it as far as it was read.
    var bytesRead: Int {
        manifest.segments[..<index].reduce(segment.validEnd) { $0 + Int($1.validEnd) }
    }

    /// Passes over everything before the last segment, unread.
    mutating func skipToLastSegment() throws(LogError) {
        while index < manifest.segments.count - 1, let last = manifest.segments.last {
            try go(to: last.firstSequence)
        }
    }

    private mutating func openNext() throws(LogError) {
        let entry = manifest.segments[index]
        // Its reader was opened with the first archive.
        if archive != nil, manifest.segments[index + 1].role == .live {
            (archive, limit, index) = (nil, nil, index + 1)
        } else {
            try go(to: entry.endSequence, behind: entry)
        }
    }

    /// Opens what has a sequence.
    private mutating func go(
        to sequence: UInt64, behind entry: ManifestSegment? = nil
    ) throws(LogError) {
        let place = try CursorPlace(at: sequence, behind: entry, in: manifest, manifests)
        try? file.close()
        manifest = place.manifest
        (index, archive, segment, file) = (place.index, place.archive, place.segment, place.file)
        limit = nil
    }

    private func events(of unit: SegmentReader.Unit, _ wanted: RunID?) -> [LogEvent] {
        var events: [LogEvent] = []
        segment.forEachEvent(of: unit) { name, group, position, sequence, body in
            if let wanted, wanted != name { return }
            if sequence < firstWanted { return }
            events.append(
                LogEvent(
                    sequence: sequence, run: name, epoch: group.epoch, position: position,
                    body: [UInt8](copying: body),
                    segmentID: segment.header.segmentID, offset: unit.offset))
        }
        return events
    }
}

// MARK: - Where the log ends

extension LogCursor {
    /// How far the current segment may be read.
    private enum Limit {
        /// To the end that the manifest records: the segment will not grow.
        case recorded(Int)
        /// To what the writer that has the log open has published.
        case published(Int)
        /// To the end of the file: nobody writes, or nobody says how far.
        case file(Int)

        var offset: Int {
            switch self {
            case .recorded(let offset), .published(let offset), .file(let offset): offset
            }
        }
    }

    private func currentLimit() throws(LogError) -> Limit {
        let entry = manifest.segments[index]
        guard entry.state == .active else { return .recorded(Int(entry.validEnd)) }
        let isWritten = try storing("looking at the lock") { () throws(StorageError) in
            try storage.lockHolder(directory.lock) != nil
        }
        if isWritten, let published = try markWords()?.published,
            published.segmentLow == UInt32(truncatingIfNeeded: entry.segmentID)
        {
            return .published(published.offset)
        }
        return .file(try segmentLimit(file))
    }

    /// The words of a mark that counts on this machine and boot.
    private func markWords() throws(LogError) -> MarkFile.Words? {
        guard let mark = try MarkFile.open(reading: directory, storage: storage) else {
            return nil
        }
        defer { mark.close() }
        return try mark.load()
    }

    /// Decides what a stop means. Returns whether there is more to read now.
    private mutating func goesOn(
        after stop: SegmentReader.Stop, at limit: Limit
    ) throws(LogError) -> Bool {
        switch limit {
        case .recorded:
            try checkRecordedEnd(stop)
            guard index + 1 < manifest.segments.count else { return false }
            try openNext()
            return true
        case .published(let offset):
            // What was published was there whole before the word that says so was stored.
            guard segment.validEnd >= offset else {
                return try suspect(
                    try EndOfLog(segment, stop, file: file, mark: try markWords()).refusal)
            }
            if stopsAtPublished { return try stopAtPublished() }
            self.limit = try currentLimit()
            if case .published(let later)? = self.limit, later == offset { return try reload() }
            return true
        case .file:
            let end = try EndOfLog(segment, stop, file: file, mark: try markWords())
            guard end.refusal == nil else { return try suspect(end.refusal) }
            // A sealed segment that is still listed as active: its roll may be finished by now.
            if end.rule == .sealed, try reload() { return true }
            endRule = end.rule
            return false
        }
    }

    /// Stops in the active segment of the manifest, which may have been replaced by now: then the
    /// next call goes on from there.
    private mutating func stopAtPublished() throws(LogError) -> Bool {
        limit = nil
        let newest = try manifests.load().manifest
        if newest.segments.last?.segmentID == segment.entry.segmentID { _ = try adopt(newest) }
        return false
    }

    /// Looks once more before a log is called damaged: it was judged piece by piece, and a writer
    /// may have appended, rolled or recovered between two looks.
    private mutating func suspect(_ refusal: LogError?) throws(LogError) -> Bool {
        guard let refusal else {
            limit = nil
            return true
        }
        if let suspicion, suspicion.message == refusal.message,
            suspicion.offset == refusal.offset
        {
            throw refusal
        }
        suspicion = refusal
        limit = nil
        _ = try reload()
        return true
    }

    /// A segment that does not grow must end where the manifest says, in the block that it says.
    private func checkRecordedEnd(_ stop: SegmentReader.Stop) throws(LogError) {
        let entry = segment.entry
        if case .fault(let fault, let offset) = stop {
            let error = LogError(
                .corrupt, "damaged: \(fault)", path: segment.path, offset: offset)
            if case .header(.unsupported) = fault {
                throw LogError(
                    .unsupportedVersion, "written by a newer version; \(fault)",
                    path: segment.path, offset: offset)
            }
            throw error
        }
        // What was read here under an older manifest verified then, so it was not damage that cut
        // the segment: a sync failed, and the next writer judged what the disk had.
        if entry.state == .recovered, segment.validEnd > Int(entry.validEnd) {
            throw Self.lostEvents(segment.path, Int(entry.validEnd))
        }
        guard segment.meetsManifest, segment.validEnd == Int(entry.validEnd) else {
            throw LogError(
                .corrupt, "damaged: the segment ends before its recorded end",
                path: segment.path, offset: segment.validEnd)
        }
        guard entry.state != .sealed || segment.lastKind == .seal else {
            throw LogError(
                .corrupt, "damaged: a sealed segment without its seal", path: segment.path,
                offset: segment.validEnd)
        }
    }

    private static func lostEvents(_ path: FilePath, _ offset: Int?) -> LogError {
        LogError(
            .io, "a failed sync lost events that this reader has read: begin a new one",
            path: path, offset: offset)
    }

    /// Reads the manifest again. Returns whether it is a newer one.
    private mutating func reload() throws(LogError) -> Bool {
        try adopt(manifests.load().manifest)
    }

    private mutating func adopt(_ newer: Manifest) throws(LogError) -> Bool {
        guard newer.generation > manifest.generation else { return false }
        let entry = manifest.segments[index]
        manifest = newer
        guard let place = newer.segments.firstIndex(where: { $0.segmentID == entry.segmentID })
        else {
            // It was archived meanwhile.
            let next = segment.nextSequence
            try go(to: next)
            // Only a sync that failed makes numbers of events that were read come again.
            guard archive != nil || segment.entry.firstSequence >= next else {
                throw Self.lostEvents(segment.path, nil)
            }
            return true
        }
        index = place
        segment.adopt(newer.segments[place])
        limit = nil
        return true
    }
}

/// Where some events of a unit belong and stand: events of one run that follow each other.
struct UnitEvents {
    let run: RunID
    let epoch: UInt64
    /// That of the first.
    let position: UInt64
    /// That of the first.
    let sequence: UInt64
    let count: UInt64
    let segmentID: UInt64
    /// Where their unit begins.
    let offset: Int
    /// Whether they stand in an archive.
    let isArchived: Bool
    /// Whether one of them, in a live segment, is of the kind that deletes its run.
    let mayDelete: Bool
}
