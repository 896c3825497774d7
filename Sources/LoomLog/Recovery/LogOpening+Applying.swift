internal import LoomFormat
internal import LoomStorage
internal import SystemPackage

// Step 8: carries the decision out.

extension LogOpening {
    func apply(
        _ scan: TailScan, _ last: ManifestSegment, _ editor: ManifestEditor,
        _ lock: any StorageLock, isNew: Bool
    ) throws(LogError) -> Opened {
        if let refusal = scan.end.refusal { throw refusal }
        try editor.checkSequence(scan.end.nextSequence)
        guard case .startSegment(let state, let proof) = scan.end.decision else {
            let active = try reopen(last, scan, editor.manifest)
            return try finish(
                active, editor, lock, scan, ending: isNew ? .created : .clean)
        }
        let ending: RecoveryReport.Ending =
            switch proof {
            case .sealed: .clean
            case .marked, .block: .tornProven
            case .copied: .copied
            case .unproven: .tornUnproven
            }
        let active = try begin(after: last, state, ending, scan, editor)
        return try finish(active, editor, lock, scan, ending: ending)
    }

    private func finish(
        _ active: ActiveSegment, _ editor: ManifestEditor, _ lock: any StorageLock,
        _ scan: TailScan, ending: RecoveryReport.Ending
    ) throws(LogError) -> Opened {
        let mark = try MarkFile(
            writing: directory, storage: storage, epoch: editor.manifest.writerEpoch,
            words: .init(published: active.publishedWord, durable: active.durableWord))
        return Opened(
            lock: lock, active: active, manifests: editor, mark: mark,
            nextSequence: scan.end.nextSequence,
            report: RecoveryReport(
                ending: ending, discardedBytes: scan.end.discardedBytes,
                position: LogPosition(nextSequence: scan.end.nextSequence),
                segmentID: scan.end.segmentID, offset: scan.end.validEnd))
    }

    /// Goes on behind a close block, in the same segment.
    private func reopen(
        _ last: ManifestSegment, _ scan: TailScan, _ manifest: Manifest
    ) throws(LogError) -> ActiveSegment {
        try storing("opening the last segment") { () throws(StorageError) in
            let file = try storage.open(directory.segment(last.segmentID), for: .writing)
            let capacity = min(try file.size(), FormatLimits.segmentBytesMax)
            let isMapped = try file.mapForAppending(length: capacity)
            return ActiveSegment(
                file: file, segmentID: last.segmentID, firstSequence: last.firstSequence,
                salt: last.salt, capacity: capacity,
                goal: max(
                    goal(end: scan.end.validEnd, before: manifest.segments.dropLast().last),
                    min(capacity, max(options.firstSegmentBytes, options.segmentBytesMax))),
                isMapped: isMapped, isFirstAfterOpen: true,
                tail: .init(
                    offset: scan.end.validEnd, previousHash: scan.segment.lastHash,
                    lastKind: scan.segment.lastKind, counts: scan.segment.counts,
                    runs: Dictionary(
                        scan.segment.runs.map { ($1, $0) }, uniquingKeysWith: max)))
        }
    }

    /// The size that a segment had before a clean close gave its blank space back: twice that of a
    /// sealed segment before it, the first size otherwise.
    private func goal(end: Int, before: ManifestSegment?) -> Int {
        func step(above bytes: Int) -> Int {
            var size = options.firstSegmentBytes
            while size < bytes, size < options.segmentBytesMax { size *= 2 }
            return min(size, max(options.segmentBytesMax, options.firstSegmentBytes))
        }
        guard let before, before.state == .sealed else { return step(above: end) }
        // How large the segments were that an archive was made of is not told: not the first one.
        guard before.role == .live else {
            return max(options.segmentBytesMax, options.firstSegmentBytes)
        }
        return max(step(above: end), step(above: step(above: Int(before.validEnd)) + 1))
    }

    /// Leaves the old segment as it is, records where it ends, and begins a new one.
    private func begin(
        after last: ManifestSegment, _ state: SegmentState, _ ending: RecoveryReport.Ending,
        _ scan: TailScan, _ editor: ManifestEditor
    ) throws(LogError) -> ActiveSegment {
        try editor.checkRoomForSegment(countMax: options.segmentCountMax)
        let machine = storage.machine
        let ended = ManifestSegment(
            segmentID: last.segmentID, state: state, ending: ending.recorded,
            firstSequence: last.firstSequence, endSequence: scan.end.nextSequence,
            validEnd: UInt64(scan.end.validEnd), lastHash: scan.segment.lastHash,
            salt: last.salt, discardedBytes: UInt64(scan.end.discardedBytes),
            discardedHash: scan.discardedHash)
        let manifest = editor.manifest
        let epoch = manifest.writerEpoch + 1
        let header = SegmentHeader(
            storeID: manifest.storeID, segmentID: editor.reserveSegmentID(),
            writerID: manifest.writerID, writerEpoch: epoch,
            firstSequence: scan.end.nextSequence, salt: machine.random(),
            predecessor: Predecessor(
                segmentID: last.segmentID, byteLength: ended.validEnd, lastHash: ended.lastHash),
            created: machine.wallMicroseconds())
        let active = try storing("beginning a segment") { () throws(StorageError) in
            let prepared = try maker.prepare(
                header.segmentID, capacity: options.firstSegmentBytes)
            return try maker.begin(prepared, header: header, isFirstAfterOpen: true)
        }
        let entry = active.manifestEntry(state: .active, sequence: header.firstSequence)
        do throws(LogError) {
            try editor.edit { manifest in
                manifest.writerEpoch = epoch
                manifest.replaceLast(with: ended)
                manifest.segments.append(entry)
            }
        } catch {
            // A refusal leaves nothing: no manifest lists the file.
            if error.code == .outOfSpace {
                try? active.file.close()
                try? storage.remove(directory.segment(active.segmentID))
            }
            throw error
        }
        return active
    }
}
