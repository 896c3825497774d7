internal import LoomFormat
internal import LoomStorage

/// Makes one archive of some adjacent ones, or of one what it would be today: run by run, a unit of
/// each in memory at a time.
///
/// Of a run whose parts may all stay as they are, blocks are moved whole and only what is less than
/// half a block is packed again. Any other run is gone through by the layer above, from its first
/// event in these archives to its last.
struct ArchiveMerging {
    let directory: LogDirectory
    let storage: any Storage
    let semantics: any ArchiveSemantics
    /// Interrupts the work now and then.
    var pace = ArchivePace()

    /// Writes the archive of some archives, syncs it, and reads it back.
    ///
    /// - Parameters:
    ///   - entries: Archives of the manifest, adjacent, older before newer; one or more.
    ///   - id: The new archive's number, that of no other segment.
    ///   - tier: Its tier in the manifest.
    ///   - neighbours: What archives before and behind these hold.
    /// - Returns: The archive's entry for a manifest.
    /// - Throws: ``LogError`` with the file and the offset when one of them is damaged or missing,
    ///   or when the new file does not read back. The file is removed then, as far as the system
    ///   lets go of it.
    func merge(
        _ entries: [ManifestSegment], of manifest: Manifest, as id: UInt64, tier: UInt8,
        beside neighbours: ArchiveNeighbours = ArchiveNeighbours()
    ) throws(LogError) -> ManifestSegment {
        let place = ArchiveMaking.Place(id: id, sources: entries, tier: tier)
        return try open(entries, of: manifest, beside: neighbours) { (merge) throws(LogError) in
            try merge.making.make(place, of: manifest) { (writer) throws(LogError) in
                merge.begin(&writer)
                while let run = merge.next { try merge.write(run, to: &writer) }
            }
        }
    }

    /// Goes through an archive as if it were rewritten, and writes nothing.
    ///
    /// - Parameter isEnough: Asked after each run, whether the rest is not wanted.
    /// - Returns: The bytes that the new file would have; `nil` when it was enough before the end.
    func measure(
        _ entry: ManifestSegment, of manifest: Manifest, beside neighbours: ArchiveNeighbours,
        until isEnough: () -> Bool
    ) throws(LogError) -> Int? {
        let place = ArchiveMaking.Place(
            id: entry.segmentID, sources: [entry], tier: entry.tier)
        return try open([entry], of: manifest, beside: neighbours) { (merge) throws(LogError) in
            var isWhole = true
            let size = try merge.making.size(place, of: manifest) { (writer) throws(LogError) in
                merge.begin(&writer)
                while let run = merge.next {
                    try merge.write(run, to: &writer)
                    isWhole = !isEnough()
                    if !isWhole { return }
                }
            }
            return isWhole ? size : nil
        }
    }

    private func open<Result>(
        _ entries: [ManifestSegment], of manifest: Manifest, beside neighbours: ArchiveNeighbours,
        _ body: (ArchiveMerge) throws(LogError) -> Result
    ) throws(LogError) -> Result {
        guard !entries.isEmpty else {
            throw LogError(.limitExceeded, "there is no archive to be merged")
        }
        var files: [any StorageFile] = []
        defer { for file in files { try? file.close() } }
        var inputs: [ArchiveInput] = []
        for entry in entries {
            let file = try directory.openArchiveFile(entry.segmentID, storage)
            files.append(file)
            guard inputs.last.map({ $0.reader.seal.endSequence == entry.firstSequence }) ?? true
            else {
                throw LogError(
                    .corrupt, "the archives to be merged do not follow one another",
                    path: file.path)
            }
            inputs.append(
                try ArchiveInput(
                    try ArchiveReader(file: file, entry: entry, storeID: manifest.storeID)))
        }
        let making = ArchiveMaking(
            directory: directory, storage: storage, semantics: semantics, pace: pace)
        return try body(ArchiveMerge(making: making, neighbours: neighbours, inputs: inputs))
    }
}

/// The runs of some archives, in the order of their names, on the way into one.
struct ArchiveMerge {
    let making: ArchiveMaking
    let neighbours: ArchiveNeighbours
    let inputs: [ArchiveInput]

    private var semantics: any ArchiveSemantics { making.semantics }

    /// What is known before the first run.
    func begin(_ writer: inout ArchiveWriter) {
        for input in inputs { writer.see(timesOf: input.reader.seal) }
    }

    /// The run that comes next.
    var next: RunID? { inputs.compactMap(\.row?.name).min() }

    /// Writes all events of a run.
    func write(_ run: RunID, to writer: inout ArchiveWriter) throws(LogError) {
        let all = inputs.filter { $0.row?.name == run }
        // What is before the part in which the run begins is of a run that was deleted.
        let start =
            all.lastIndex { part in
                part.row.map { !$0.flags.isDisjoint(with: [.begunAnew, .deleted]) } ?? false
            } ?? 0
        let parts = Array(all[start...])
        for part in all[..<start] { try part.passOver() }
        let own = ownSummary(parts)
        // What newer archives know, or else the newest of these.
        let newest = try neighbours.newest(run) ?? own
        let size = try size(of: parts)
        if try staysWhole(parts, newest) {
            try copy(run, parts, size, to: &writer)
        } else {
            try making.writeSlice(
                of: run, byteCount: size, after: try neighbours.past(run),
                newest: newest, rewriting: own, to: &writer
            ) { (take) throws(LogError) in
                for part in parts {
                    for unit in part.blocks {
                        try part.takeEvents(ofUnit: unit, take)
                    }
                }
            }
        }
        for part in all { try part.advance() }
    }

    /// What the newest part knows of the run, which says what may be hidden of all of them.
    private func ownSummary(_ parts: [ArchiveInput]) -> [UInt8]? {
        guard let last = parts.last, let summary = last.row?.summary, !summary.isEmpty,
            last.reader.directory.summaryVersion == semantics.summaryVersion
        else { return nil }
        return summary
    }

    /// Bytes of the rows of a run, or more than any block has.
    private func size(of parts: [ArchiveInput]) throws(LogError) -> Int {
        var size = 0
        for part in parts {
            guard part.blocks.count < 2 else { return .max }
            for unit in part.blocks {
                let more =
                    part.isOwn
                    ? try part.rawLength(ofUnit: unit) : try part.byteCount(inUnit: unit)
                guard more < .max else { return .max }
                size += more
            }
        }
        return size
    }
}

extension ArchiveMerge {
    /// Units with fewer bytes of rows are packed again, with what is beside them.
    private static let movedRowsMin = FormatLimits.archiveBlockRows / 2

    /// Whether the stored events of a run may stay as they are, and it is known what stands behind
    /// each piece of them that is taken over.
    private func staysWhole(
        _ parts: [ArchiveInput], _ newest: [UInt8]?
    ) throws(LogError) -> Bool {
        // The last state of a part may be hidden, and is no part's last any more.
        if parts.count > 1, let newest, semantics.leavesOut(newest) { return false }
        for part in parts {
            guard let row = part.row,
                part.reader.directory.summaryVersion == semantics.summaryVersion,
                semantics.movesWhole(row, newest: newest)
            else { return false }
            if part.isOwn || part.blocks.isEmpty { continue }
            // What stands behind an event in the middle of a part nobody knows.
            guard part.blocks.count == 1,
                try part.byteCount(inUnit: part.blocks.lowerBound) < FormatLimits.archiveBlockRows,
                semantics.end(of: row) != nil
            else { return false }
        }
        return true
    }

    /// Takes over the events of a run as they are stored, and the newest row.
    private func copy(
        _ run: RunID, _ parts: [ArchiveInput], _ size: Int, to writer: inout ArchiveWriter
    ) throws(LogError) {
        try writer.begin(
            run, byteCount: size,
            after: try neighbours.past(run).flatMap { semantics.end(of: $0.row) })
        let isLong = size >= FormatLimits.archiveBlockRows
        for part in parts {
            for unit in part.blocks {
                if part.isOwn, isLong, try part.rawLength(ofUnit: unit) >= Self.movedRowsMin {
                    let first = part.row?.firstPosition ?? 0
                    try part.takeUnit(unit) { (header, stored, row, _) throws(LogError) in
                        try writer.move(header, stored, of: row, from: first)
                    }
                } else {
                    try repack(unit, of: part, to: &writer)
                }
            }
        }
        try writer.end(try row(of: parts))
    }

    private func repack(
        _ unit: Int, of part: ArchiveInput, to writer: inout ArchiveWriter
    ) throws(LogError) {
        let end: ArchivedEnd?
        if part.isOwn {
            end = try part.end(ofUnit: unit)
            try writer.makeRoom(for: try part.rawLength(ofUnit: unit))
        } else {
            end = part.row.flatMap { semantics.end(of: $0) }
            try writer.makeRoom(for: try part.byteCount(inUnit: unit))
        }
        try part.takeEvents(ofUnit: unit) {
            (epoch, position, sequence, head, body) throws(LogError) in
            writer.copy(epoch: epoch, position: position, sequence: sequence, head, body)
        }
        if let end { try writer.reach(end) }
    }

    /// The newest row, which knows all of the run's life, with what all of the parts have.
    private func row(of parts: [ArchiveInput]) throws(LogError) -> ArchivedRun? {
        var rows: [ArchivedRun] = []
        for part in parts { rows.append(try part.archivedRun()) }
        guard var row = rows.last, let oldest = rows.first else { return nil }
        row.countsBefore = oldest.countsBefore
        let isDeleted = row.flags.contains(.deleted)
        for other in rows { row.flags.formUnion(other.flags) }
        if row.flags.contains(.deleted), !isDeleted {
            row.flags.subtract(.deleted)
            row.flags.insert(.begunAnew)
        }
        var calls: [ArchivedRun.Call.Place: ArchivedRun.Call] = [:]
        // Of a run that is over nothing is answered any more.
        if !row.isOver {
            for call in rows.flatMap(\.calls) {
                calls[.init(key: call.key, start: call.start)] = call
            }
        }
        row.calls = Array(calls.values)
        return row
    }
}

extension ArchivedRun {
    /// Whether its status says that nothing follows. See FORMAT.md, Tables: codes.
    fileprivate var isOver: Bool { status == 3 || status == 5 }
}

extension ArchivedRun.Call {
    /// What names a call.
    fileprivate struct Place: Hashable {
        let key: KeyFingerprint
        let start: UInt64
    }
}

extension ArchiveInput {
    /// Reads the events of a part, none of which is taken over.
    fileprivate func passOver() throws(LogError) {
        for unit in blocks { try takeEvents(ofUnit: unit) { (_, _, _, _, _) throws(LogError) in } }
    }
}
