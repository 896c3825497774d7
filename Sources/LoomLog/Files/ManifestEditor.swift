internal import LoomFormat
internal import LoomStorage

/// Writes every manifest of an open log: rolls, closes and recovery all go through ``edit(_:)``.
///
/// The editor owns two numbers that must never be given twice: the generation of the next manifest
/// and the id of the next segment. Edits are serialised, so each one builds on the manifest that
/// the edit before it made durable.
final class ManifestEditor: Sendable {
    private struct State {
        var loaded: ManifestStore.Loaded
        var nextSegmentID: UInt64
        /// Whether the manifest that holds was written by this editor.
        var isOwn = false
        /// Superseded files that are gone: the next manifest does not list them.
        var removed: Set<UInt64> = []
    }

    private let store: ManifestStore
    private let state: Monitor<State>

    /// Goes on from the manifest that `store` loaded.
    init(_ loaded: ManifestStore.Loaded, store: ManifestStore) {
        self.store = store
        state = Monitor(State(loaded: loaded, nextSegmentID: loaded.manifest.nextSegmentID))
    }

    /// The manifest that holds now.
    var manifest: Manifest { state.withLock { $0.loaded.manifest } }

    /// Superseded files that may still be there.
    var removable: [SupersededSegment] {
        state.withLock { state in
            state.loaded.manifest.superseded.filter { !state.removed.contains($0.segmentID) }
        }
    }

    /// Leaves superseded files out of the next manifest: they are gone for good.
    func noteRemoved(_ ids: [UInt64]) { state.withLock { $0.removed.formUnion(ids) } }

    /// Sees to it that the manifest that holds is known to be durable: that this editor wrote it.
    ///
    /// One that was found may be in the page cache alone, after a sync that failed. A file that an
    /// older one lists must not be removed on the word of it.
    func ensureOwn() throws(LogError) {
        if !state.withLock({ $0.isOwn }) { try edit { _ in } }
    }

    /// Returns the id for a new segment file. No later call returns it again.
    func reserveSegmentID() -> UInt64 {
        state.withLock { state in
            defer { state.nextSegmentID += 1 }
            return state.nextSegmentID
        }
    }

    /// Checks that one more segment can be listed, so that nothing is written for one that cannot.
    ///
    /// - Parameter countMax: How many segments a manifest lists at most.
    /// - Throws: ``LogError`` with code `limitExceeded`; nothing changed.
    func checkRoomForSegment(
        countMax: Int = FormatLimits.manifestSegmentCountMax
    ) throws(LogError) {
        let (loaded, nextID) = state.withLock { ($0.loaded, $0.nextSegmentID) }
        let manifest = loaded.manifest
        guard manifest.segments.count < countMax else {
            throw LogError(
                .limitExceeded,
                "the log has \(manifest.segments.count) segments, the most that it can have",
                path: store.directory.root)
        }
        var next = manifest
        next.nextSegmentID = max(next.nextSegmentID, nextID) + 1
        next.writerEpoch += 1
        next.generation = max(next.generation, loaded.tornGenerations.max() ?? 0) + 1
        try checkNumbers(next)
    }

    /// Checks that a whole segment of events can be numbered from `sequence` on.
    func checkSequence(_ sequence: UInt64) throws(LogError) {
        // More events than compress into the largest segment.
        guard sequence < FormatLimits.numberEnd - 1 << 40 else {
            throw LogError(
                .limitExceeded, "the log's sequence has reached the limit of 2^62",
                path: store.directory.root)
        }
    }

    /// Numbers that came from a damaged or hostile file must not be counted on into the limit.
    private func checkNumbers(_ manifest: Manifest) throws(LogError) {
        let numbers = [manifest.generation, manifest.nextSegmentID, manifest.writerEpoch]
        guard numbers.allSatisfy({ $0 < FormatLimits.numberEnd }) else {
            throw LogError(
                .limitExceeded, "a number in the manifest has reached the limit of 2^62",
                path: store.directory.root)
        }
    }

    /// Writes the next manifest: the present one with the change that `body` makes to it.
    ///
    /// The new manifest and its name are durable when this returns. Costs one new file of two
    /// copies, a sync of the file and one of the folder.
    ///
    /// - Throws: ``LogError`` with code `outOfSpace` when there was no room: nothing changed, and
    ///   the edit may be tried again. With code `limitExceeded` when the manifest would pass a
    ///   limit of the format: nothing changed, and no retry helps. After any other error nobody
    ///   knows which manifest holds.
    @discardableResult
    func edit(_ body: (inout Manifest) -> Void) throws(LogError) -> Manifest {
        try state.withLock { state throws(LogError) in
            var next = state.loaded.manifest
            next.superseded.removeAll { state.removed.contains($0.segmentID) }
            let torn = state.loaded.tornGenerations.max() ?? 0
            next.generation = max(state.loaded.manifest.generation, torn) + 1
            body(&next)
            next.previousHash = state.loaded.hash
            next.created = store.storage.machine.wallMicroseconds()
            let ids = next.segments.map(\.segmentID)
            next.nextSegmentID = max(next.nextSegmentID, (ids.max() ?? 0) + 1)
            guard next.segments.count <= FormatLimits.manifestSegmentCountMax else {
                throw LogError(
                    .limitExceeded, "a manifest of \(next.segments.count) segments",
                    path: store.directory.root)
            }
            guard next.superseded.count <= FormatLimits.manifestSupersededCountMax else {
                throw LogError(
                    .limitExceeded, "a manifest of \(next.superseded.count) superseded files",
                    path: store.directory.root)
            }
            try checkNumbers(next)
            state.loaded = try store.write(next)
            state.isOwn = true
            state.removed.removeAll()
            return next
        }
    }
}

extension Manifest {
    /// Lists an archive in the place of the segments that it was made of, which are superseded.
    ///
    /// - Returns: Whether they stood there, in this order. If not, nothing changed.
    @discardableResult
    mutating func supersede(_ inputs: [UInt64], by archive: ManifestSegment) -> Bool {
        guard let start = segments.firstIndex(where: { $0.segmentID == inputs.first }) else {
            return false
        }
        let range = start..<min(segments.count, start + inputs.count)
        guard segments[range].map(\.segmentID) == inputs else { return false }
        superseded += segments[range].map {
            SupersededSegment(segmentID: $0.segmentID, generation: generation, role: $0.role)
        }
        segments.replaceSubrange(range, with: [archive])
        return true
    }

    /// Replaces the entry of the active segment, which is always the last one.
    mutating func replaceLast(with entry: ManifestSegment) {
        segments[segments.count - 1] = entry
    }
}
