internal import LoomFormat
internal import LoomStorage

/// Goes through all units of events of an archive in order, checking every hash, the chain, and
/// that each unit is what its header says.
///
/// Where they end is told by the manifest, so that damage behind them costs none.
struct ArchiveUnits {
    private let archive: ArchiveBody
    private let checksRest: Bool
    private var walk: ArchiveWalk
    /// Events of the units so far.
    private var eventCount: UInt64 = 0

    /// A unit: a block, or several of one long event.
    struct Unit {
        /// What its blocks decode to.
        let payload: [UInt8]
        /// Where its first block begins.
        let offset: Int
        /// The sequences from its least to its greatest event.
        let sequences: ClosedRange<UInt64>
    }

    /// - Parameter checksRest: Whether what stands behind the events is checked, too.
    init(_ archive: ArchiveBody, checksRest: Bool) {
        (self.archive, self.checksRest) = (archive, checksRest)
        walk = archive.walk()
    }

    /// The next unit; `nil` behind the last.
    ///
    /// - Throws: ``LogError`` with code `corrupt` and the offset for anything else.
    mutating func next() throws(LogError) -> Unit? {
        guard eventCount < archive.entry.eventCount else {
            try checkEnd()
            return nil
        }
        var payload: [UInt8] = []
        var start: Int?
        while true {
            guard let (block, offset) = try walk.next(), block.header.kind == .events else {
                throw LogError(
                    .corrupt,
                    "\(eventCount) of \(archive.entry.eventCount) events stand in the archive",
                    path: archive.path)
            }
            let unitStart = start ?? offset
            start = unitStart
            payload += block.payload
            if let unit = try unit(block.header, payload, at: unitStart) {
                eventCount += UInt64(block.header.eventCount)
                return unit
            }
        }
    }

    /// The unit that a block ends; `nil` while it goes on.
    private func unit(
        _ header: BlockHeader, _ payload: [UInt8], at offset: Int
    ) throws(LogError) -> Unit? {
        let covered = archive.entry.firstSequence..<archive.entry.endSequence
        return try refusing(archive.path, at: offset, "unit refused") {
            () throws(FormatError) -> Unit? in
            try ArchiveUnit.checkSize(payload.count)
            guard !header.flags.contains(.continues) else { return nil }
            return Unit(
                payload: payload, offset: offset,
                sequences: try ArchiveUnit.sequences(in: payload.rawSpan, header, covered))
        }
    }

    /// Refuses more events than the manifest has. Damage behind the last one is for those to tell
    /// who check the rest.
    private mutating func checkEnd() throws(LogError) {
        do throws(LogError) {
            while let (block, _) = try walk.next() {
                if block.header.kind == .events { eventCount += UInt64(block.header.eventCount) }
                if !checksRest { break }
            }
        } catch {
            if checksRest { throw error }
        }
        guard eventCount == archive.entry.eventCount else {
            throw LogError(
                .corrupt,
                "\(eventCount) events stand in the archive, and the manifest has "
                    + "\(archive.entry.eventCount)",
                path: archive.path)
        }
    }
}
