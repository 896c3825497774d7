internal import LoomFormat
internal import LoomStorage

/// Makes the file of an archive, whatever its events come from: header, events, tables, seal, sync,
/// and the proof that it reads back to what was written.
///
/// The log is not changed: the archive is a file that no manifest lists.
struct ArchiveMaking {
    let directory: LogDirectory
    let storage: any Storage
    let semantics: any ArchiveSemantics
    /// Interrupts the work now and then.
    var pace = ArchivePace()

    /// What the manifest will say of the archive, beside what follows from its bytes.
    struct Place {
        /// Its number, that of no other segment.
        let id: UInt64
        /// The segments whose place it takes.
        let sources: [ManifestSegment]
        var tier: UInt8 = 0

        /// The sequences that it covers.
        var sequences: Range<UInt64> {
            guard let first = sources.first, let last = sources.last else { return 0..<0 }
            return first.firstSequence..<max(first.firstSequence, last.endSequence)
        }
    }

    /// Makes an archive of the runs that `write` writes.
    ///
    /// - Returns: The archive's entry for a manifest.
    /// - Throws: ``LogError`` from `write`, or when the file does not read back. The file is
    ///   removed then, as far as the system lets go of it.
    func make(
        _ place: Place, of manifest: Manifest,
        _ write: (inout ArchiveWriter) throws(LogError) -> Void
    ) throws(LogError) -> ManifestSegment {
        let path = directory.archive(place.id)
        let file = try storing("creating an archive") { () throws(StorageError) in
            try storage.create(path)
        }
        do throws(LogError) {
            defer { try? file.close() }
            let header = header(of: place, manifest)
            var writer = try ArchiveWriter(
                file, header, summaryVersion: semantics.summaryVersion, pace: pace)
            try write(&writer)
            let written = try writer.finish(covering: place.sequences)
            try storing("syncing an archive") { () throws(StorageError) in
                try file.sync()
                try storage.syncDirectory(directory.segments)
            }
            file.dropCache()
            var entry = ManifestSegment(
                segmentID: place.id, role: .archive, state: .sealed, tier: place.tier,
                firstSequence: place.sequences.lowerBound, endSequence: place.sequences.upperBound,
                validEnd: UInt64(written.byteCount), lastHash: written.lastHash,
                salt: header.salt, eventCount: written.seal.eventCount)
            let reader = try ArchiveReader(file: file, entry: entry, storeID: manifest.storeID)
            entry.keepRecovery(of: place.sources)
            var verification = try ArchiveVerification(reader, writer.tally, semantics, pace)
            try verification.verify()
            return entry
        } catch {
            try? storage.remove(path)
            throw error
        }
    }

    /// The bytes that the archive would have, of which no file is made.
    func size(
        _ place: Place, of manifest: Manifest,
        _ write: (inout ArchiveWriter) throws(LogError) -> Void
    ) throws(LogError) -> Int {
        var writer = try ArchiveWriter(
            nil, header(of: place, manifest), summaryVersion: semantics.summaryVersion,
            pace: pace)
        try write(&writer)
        return try writer.finish(covering: place.sequences).byteCount
    }

    private func header(of place: Place, _ manifest: Manifest) -> SegmentHeader {
        let machine = storage.machine
        return SegmentHeader(
            role: .archive, storeID: manifest.storeID, segmentID: place.id,
            writerID: manifest.writerID, writerEpoch: manifest.writerEpoch,
            firstSequence: place.sequences.lowerBound, salt: machine.random(),
            predecessor: .none, created: machine.wallMicroseconds())
    }
}

extension ManifestSegment {
    /// Tells on what one recovery found; of several there is no place to tell it.
    fileprivate mutating func keepRecovery(of sources: [ManifestSegment]) {
        let recovered = sources.filter { $0.state == .recovered || $0.ending != .untold }
        guard let only = recovered.first, recovered.count == 1 else { return }
        (ending, discardedBytes) = (only.ending, only.discardedBytes)
        discardedHash = only.discardedHash
    }
}

extension ArchiveMaking {
    /// Takes an event of a slice.
    typealias Take = (
        _ epoch: UInt64, _ position: UInt64, _ sequence: UInt64, EventHead?, RawSpan
    ) throws(LogError) -> Void

    /// Calls `take` with events that follow each other.
    static func each(
        of events: consuming GroupEvents, epoch: UInt64, position: UInt64, sequence: UInt64,
        _ take: Take
    ) throws(LogError) {
        var (position, sequence, head): (UInt64, UInt64, EventHead?) = (position, sequence, nil)
        while let event = events.next(&head) {
            try take(epoch, position, sequence, head, event)
            (position, sequence) = (position &+ 1, sequence &+ 1)
        }
    }

    /// Writes what the layer above makes of the events of a run.
    ///
    /// - Parameters:
    ///   - byteCount: Bytes of the rows of its events, or about so many.
    ///   - past: What older archives hold of it.
    ///   - newest: Its newest summary in newer ones.
    ///   - own: The summary behind its last event, where it is known.
    ///   - looksAhead: Whether its events are gone through twice, first to know what they say in
    ///     the end: where that lets bytes or events be left out.
    ///   - events: Calls its argument with each event, in order.
    func writeSlice(
        of run: RunID, byteCount: Int, after past: (any ArchivedPast)?, newest: [UInt8]?,
        rewriting own: [UInt8]? = nil, looksAhead: Bool = false, to writer: inout ArchiveWriter,
        _ events: (Take) throws(LogError) -> Void
    ) throws(LogError) {
        let own = looksAhead ? try summary(of: run, after: past, events) : own
        var slice = try semantics.begin(run, after: past, newest: newest ?? own, rewriting: own)
        var check = SliceCheck(deletedEpoch: slice.deletedEpoch)
        try writer.begin(
            run, byteCount: byteCount, after: past.flatMap { semantics.end(of: $0.row) })
        func give(
            epoch: UInt64, position: UInt64, sequence: UInt64, body: RawSpan,
            progress: ArchiveProgress
        ) throws(LogError) {
            check.give(epoch, position, sequence)
            try writer.append(
                epoch: epoch, position: position, sequence: sequence, body, progress)
        }
        var hasPassed = false
        try events { (epoch, position, sequence, head, body) throws(LogError) in
            if let head, body.byteCount < FormatLimits.archiveBlockRows,
                let isWholeState = slice.pass(epoch: epoch, position: position, head, body)
            {
                // There is nothing to compare but that it is one: it is written as it came.
                check.pass()
                writer.copy(epoch: epoch, position: position, sequence: sequence, head, body)
                hasPassed = true
                guard isWholeState || writer.isBlockFull else { return }
                return try writer.reach(
                    ArchivedEnd(counts: slice.counts, wholeState: isWholeState ? position : nil))
            }
            if hasPassed { writer.keep(slice.counts) }
            hasPassed = false
            check.take(epoch, position, sequence)
            try slice.take(
                epoch: epoch, position: position, sequence: sequence, body, give: give)
        }
        if hasPassed { writer.keep(slice.counts) }
        let row = try slice.finish(give: give)
        guard check.isKept else {
            throw LogError(.corrupt, "run \(run) would not have the same events as before")
        }
        try writer.end(row)
    }
}

extension ArchiveMaking {
    /// The summary of a run behind some events.
    private func summary(
        of run: RunID, after past: (any ArchivedPast)?, _ events: (Take) throws(LogError) -> Void
    ) throws(LogError) -> [UInt8]? {
        var slice = try semantics.begin(run, after: past, newest: nil, rewriting: nil)
        try events { (epoch, position, sequence, head, body) throws(LogError) in
            if let head, slice.pass(epoch: epoch, position: position, head, body) != nil { return }
            try slice.take(epoch: epoch, position: position, sequence: sequence, body) {
                (_, _, _, _, _) throws(LogError) in
            }
        }
        return try slice.finish { (_, _, _, _, _) throws(LogError) in }?.summary
    }
}

/// Whether a slice gives as many events as it takes, at the same places, or none at all; of a name
/// that was deleted, those of higher epochs.
private struct SliceCheck {
    /// Events of this and lower epochs are left out.
    let deletedEpoch: UInt64?
    private var taken: (count: Int, sum: UInt64) = (0, 0)
    private var given: (count: Int, sum: UInt64) = (0, 0)

    init(deletedEpoch: UInt64?) { self.deletedEpoch = deletedEpoch }

    mutating func take(_ epoch: UInt64, _ position: UInt64, _ sequence: UInt64) {
        if let deletedEpoch, epoch <= deletedEpoch { return }
        Self.add(epoch, position, sequence, to: &taken)
    }

    mutating func pass() {
        taken.count += 1
        given.count += 1
    }

    mutating func give(_ epoch: UInt64, _ position: UInt64, _ sequence: UInt64) {
        Self.add(epoch, position, sequence, to: &given)
    }

    /// In order, so that a place in another's stead is noticed.
    private static func add(
        _ epoch: UInt64, _ position: UInt64, _ sequence: UInt64,
        to sum: inout (count: Int, sum: UInt64)
    ) {
        sum.count += 1
        for number in [epoch, position, sequence] {
            sum.sum = (sum.sum ^ number) &* 0x9E37_79B9_7F4A_7C15
            sum.sum ^= sum.sum >> 32
        }
    }

    var isKept: Bool { given.count == 0 || given == taken }
}
