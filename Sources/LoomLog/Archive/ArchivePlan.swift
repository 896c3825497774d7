internal import LoomFormat

/// What an archiver does next: a pure function of the manifest.
///
/// Oldest first, and archives of live segments before merges: what is archived is at most a
/// hundredth of what it was, and merges can wait.
enum ArchivePlan {
    /// Work on adjacent segments of the manifest, each named by its number.
    enum Job: Hashable, Sendable {
        /// Makes one archive of ended live segments.
        case archive([UInt64])
        /// Makes one archive of archives of one tier.
        case merge([UInt64])
        /// Makes one archive what it would be today.
        case rewrite(UInt64)
        /// Makes the tables of one archive anew.
        case reindex(UInt64)

        /// The segments that the job replaces.
        var inputs: [UInt64] {
            switch self {
            case .archive(let inputs), .merge(let inputs): inputs
            case .rewrite(let input), .reindex(let input): [input]
            }
        }
    }

    /// Live segments that go into one archive together have at most so many bytes, but for one that
    /// is larger by itself: their events are gathered in memory.
    static let gatheredBytesMax: UInt64 = 64 << 20
    /// How many archives are merged into one of the next tier.
    static let fanout = 8
    /// Archives that are merged have at most so many bytes, so that the tables never push the
    /// result over the limit of a file.
    static let mergedBytesMax: UInt64 = 960 << 20

    /// The next job; `nil` when there is none.
    ///
    /// - Parameters:
    ///   - durable: The sequence before which every event is durable: what is not stays as it is.
    ///   - merges: Whether archives are to be merged.
    static func next(_ manifest: Manifest, durable: UInt64, merges: Bool) -> Job? {
        archiving(manifest, durable: durable) ?? (merges ? merging(manifest) : nil)
    }

    /// The oldest ended live segments, as many as go together.
    private static func archiving(_ manifest: Manifest, durable: UInt64) -> Job? {
        var (inputs, bytes): ([UInt64], UInt64) = ([], 0)
        for segment in waiting(manifest.segments) {
            let isFull = !inputs.isEmpty && bytes + segment.validEnd > gatheredBytesMax
            guard segment.endSequence <= durable, !isFull else { break }
            inputs.append(segment.segmentID)
            bytes += segment.validEnd
        }
        return inputs.isEmpty ? nil : .archive(inputs)
    }

    /// The oldest archives of one tier that fill the next.
    private static func merging(_ manifest: Manifest) -> Job? {
        let archives = manifest.segments.prefix { $0.role == .archive }
        guard archives.count >= fanout else { return nil }
        for start in 0...(archives.count - fanout) {
            let some = archives[start..<(start + fanout)]
            let bytes = some.reduce(0) { $0 + $1.validEnd }
            if Set(some.map(\.tier)).count == 1, bytes <= mergedBytesMax {
                return .merge(some.map(\.segmentID))
            }
        }
        return nil
    }

    /// The live segments that will not grow any more.
    static func waiting(_ segments: [ManifestSegment]) -> [ManifestSegment] {
        segments.dropLast().filter { $0.role == .live }
    }
}
