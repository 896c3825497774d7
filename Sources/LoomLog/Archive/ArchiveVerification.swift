internal import LoomFormat
internal import LoomStorage

/// Reads an archive back before anything relies on it: every hash, every block unpacked, and the
/// same events, run by run and byte by byte, as were gathered.
enum ArchiveVerification {
    static func verify(
        _ file: any StorageFile, _ entry: ManifestSegment, _ storeID: StoreID,
        against gathering: borrowing LiveGathering
    ) throws(LogError) {
        let reader = try ArchiveReader(file: file, entry: entry, storeID: storeID)
        var left = gathering.runs[...]
        var (run, index, count) = (RunID?.none, 0, 0)
        var units = reader.units()
        while let unit = try units.next() {
            let offset = unit.offset
            let events = try refusing(reader.path, at: offset, "unit refused") {
                () throws(FormatError) in
                try ArchiveUnit.events(in: unit.payload.rawSpan, at: offset) { _, _ in true }
            }
            for event in events {
                if event.run != run {
                    let isWhole = run.map { gathering.events(of: $0).count == index } ?? true
                    guard isWhole, left.popFirst() == event.run else {
                        throw otherwise(reader, offset)
                    }
                    (run, index) = (event.run, 0)
                }
                let spans = gathering.events(of: event.run)
                guard index < spans.count, spans[index].isSame(as: event),
                    gathering.body(spans[index]).isEqual(to: event.body)
                else { throw otherwise(reader, offset) }
                index += 1
                count += 1
            }
        }
        let isWhole = run.map { gathering.events(of: $0).count == index } ?? true
        guard isWhole, left.isEmpty, count == gathering.eventCount else {
            throw otherwise(reader, Int(entry.validEnd))
        }
        for run in gathering.runs {
            guard let row = try reader.row(of: run)?.row,
                row.endPosition
                    == gathering.events(of: run).map({ ArchiveWriter.end(of: $0.position) }).max()
            else { throw otherwise(reader, Int(reader.seal.directoryOffset)) }
        }
    }

    private static func otherwise(_ reader: ArchiveReader, _ offset: Int) -> LogError {
        LogError(
            .corrupt, "the archive does not read back to the events that it was made of",
            path: reader.path, offset: offset)
    }
}

extension LiveGathering.Span {
    fileprivate func isSame(as event: ArchivedEvent) -> Bool {
        epoch == event.epoch && position == event.position && sequence == event.sequence
    }
}

extension RawSpan {
    fileprivate func isEqual(to bytes: [UInt8]) -> Bool {
        guard byteCount == bytes.count else { return false }
        return unsafe withUnsafeBytes { unsafe $0.elementsEqual(bytes) }
    }
}
