internal import LoomFormat
internal import LoomStorage
internal import SystemPackage

// Step 8: carries the decision out.

extension LogOpening {
    func apply(
        _ decision: RecoveryDecision, _ scan: TailScan, _ last: ManifestSegment,
        _ editor: ManifestEditor, _ lock: any StorageLock, isNew: Bool
    ) throws(LogError) -> Opened {
        switch decision {
        case .refuseUnsupported:
            throw LogError(
                .unsupportedVersion,
                scan.fault.map { "written by a newer version: \($0)" }
                    ?? "written by a newer version",
                path: directory.segment(last.segmentID), offset: scan.facts.validEnd)
        case .refuseCorrupt(let reason):
            let fault = scan.fault.map { "; \($0)" } ?? ""
            throw LogError(
                .corrupt, "damaged: \(reason.rawValue)\(fault)",
                path: directory.segment(last.segmentID), offset: scan.facts.validEnd)
        case .continueInPlace:
            let active = try reopen(last, scan)
            return try finish(
                active, editor, lock, scan, ending: isNew ? .created : .clean, discarded: 0)
        case .startSegment(let state, let proof):
            let active = try begin(after: last, state, scan, editor)
            let ending: RecoveryReport.Ending =
                switch proof {
                case .clean: .clean
                case .proven: .tornProven
                case .unproven: .tornUnproven
                }
            return try finish(
                active, editor, lock, scan, ending: ending,
                discarded: scan.discarded.byteCount)
        }
    }

    private func finish(
        _ active: ActiveSegment, _ editor: ManifestEditor, _ lock: any StorageLock,
        _ scan: TailScan, ending: RecoveryReport.Ending, discarded: Int
    ) throws(LogError) -> Opened {
        let mark = try MarkFile(
            writing: directory, storage: storage, epoch: editor.manifest.writerEpoch,
            words: .init(published: active.publishedWord, durable: active.durableWord))
        return Opened(
            lock: lock, active: active, manifests: editor, mark: mark,
            nextSequence: scan.nextSequence,
            report: RecoveryReport(
                ending: ending, discardedBytes: discarded,
                position: LogPosition(nextSequence: scan.nextSequence)))
    }

    /// Goes on behind a close block, in the same segment.
    private func reopen(
        _ last: ManifestSegment, _ scan: TailScan
    ) throws(LogError) -> ActiveSegment {
        try storing("opening the last segment") { () throws(StorageError) in
            let file = try storage.open(directory.segment(last.segmentID), for: .writing)
            let capacity = min(try file.size(), FormatLimits.segmentBytesMax)
            let isMapped = try file.mapForAppending(length: capacity)
            return ActiveSegment(
                file: file, segmentID: last.segmentID, firstSequence: last.firstSequence,
                salt: last.salt, capacity: capacity, isMapped: isMapped, isFirstAfterOpen: true,
                tail: .init(
                    offset: scan.facts.validEnd, previousHash: scan.lastHash,
                    lastKind: scan.facts.lastKind, counts: scan.counts, runs: scan.runs))
        }
    }

    /// Leaves the old segment as it is, records where it ends, and begins a new one.
    private func begin(
        after last: ManifestSegment, _ state: SegmentState, _ scan: TailScan,
        _ editor: ManifestEditor
    ) throws(LogError) -> ActiveSegment {
        let machine = storage.machine
        let ended = ManifestSegment(
            segmentID: last.segmentID, state: state, firstSequence: last.firstSequence,
            endSequence: scan.nextSequence, validEnd: UInt64(scan.facts.validEnd),
            lastHash: scan.lastHash, salt: last.salt,
            discardedBytes: UInt64(scan.discarded.byteCount), discardedHash: scan.discarded.hash)
        let manifest = editor.manifest
        let epoch = manifest.writerEpoch + 1
        let header = SegmentHeader(
            storeID: manifest.storeID, segmentID: editor.reserveSegmentID(),
            writerID: manifest.writerID, writerEpoch: epoch,
            firstSequence: scan.nextSequence, salt: machine.random(),
            predecessor: Predecessor(
                segmentID: last.segmentID, byteLength: ended.validEnd, lastHash: ended.lastHash),
            created: machine.wallMicroseconds())
        let active = try storing("beginning a segment") { () throws(StorageError) in
            let prepared = try maker.prepare(
                header.segmentID, capacity: options.firstSegmentBytes)
            return try maker.begin(prepared, header: header, isFirstAfterOpen: true)
        }
        let entry = active.manifestEntry(state: .active, sequence: header.firstSequence)
        try editor.edit { manifest in
            manifest.writerEpoch = epoch
            manifest.replaceLast(with: ended)
            manifest.segments.append(entry)
        }
        return active
    }
}
