internal import LoomFormat
internal import LoomStorage

/// Goes through all units of events of an archive in order, checking every hash, the chain, and
/// that each unit is what its header says.
struct ArchiveUnits {
    private let archive: ArchiveFile
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

    init(_ archive: ArchiveFile) {
        self.archive = archive
        walk = archive.walk()
    }

    /// The next unit; `nil` behind the last, when the rest of the file was found whole as well.
    ///
    /// - Throws: ``LogError`` with code `corrupt` and the offset for anything else.
    mutating func next() throws(LogError) -> Unit? {
        var payload: [UInt8] = []
        var start: Int?
        while let (block, offset) = try walk.next() {
            guard block.header.kind == .events else { continue }
            let unitStart = start ?? offset
            start = unitStart
            payload += block.payload
            let header = block.header
            let entry = archive.entry
            let (isWhole, bytes) = (!header.flags.contains(.continues), payload)
            let unit = try refusing(archive.path, at: unitStart, "unit refused") {
                () throws(FormatError) -> Unit? in
                try ArchiveUnit.checkSize(bytes.count)
                guard isWhole else { return nil }
                return Unit(
                    payload: bytes, offset: unitStart,
                    sequences: try ArchiveUnit.sequences(
                        in: bytes.rawSpan, header, entry.firstSequence..<entry.endSequence))
            }
            guard let unit else { continue }
            eventCount += UInt64(header.eventCount)
            return unit
        }
        guard eventCount == archive.seal.eventCount else {
            throw LogError(
                .corrupt,
                "\(eventCount) events stand in the archive, and its seal has "
                    + "\(archive.seal.eventCount)",
                path: archive.path, offset: archive.sealOffset)
        }
        return nil
    }
}
