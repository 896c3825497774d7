internal import LoomFormat
internal import LoomLog
internal import LoomModel

/// Leaves out of the events of a part of a run what its policies hide, and says what the tables
/// keep of those that are given.
struct SliceBlanking {
    /// An event on its way into an archive.
    struct Stored {
        let epoch: UInt64
        let position: UInt64
        let sequence: UInt64
        var body: [UInt8]
        var progress: ArchiveProgress
    }

    private var states: StateBlanking
    private var times: TimeBlanking<Stored>

    /// See ``StateBlanking/init(newest:part:)``.
    init?(newest: RunOutline, part: RunOutline) {
        guard let states = StateBlanking(newest: newest, part: part) else { return nil }
        self.states = states
        times = TimeBlanking(newest: newest, part: part)
    }

    /// Takes the next event.
    ///
    /// - Parameter accepted: The event, when the fold of the run accepted it. Of others no read
    ///   shows anything: they stay as they are.
    mutating func take(
        _ stored: Stored, _ accepted: RunEvent?, give: ArchiveSlice.Give
    ) throws(LogError) {
        guard let accepted else {
            try finish(give: give)
            return try Self.give(stored, give)
        }
        let isPlain = !accepted.canBeBlanked || accepted.encoded() == stored.body
        var (event, stored) = (accepted, stored)
        do throws(FormatError) {
            let content = try states.replacement(
                of: event, at: stored.position, isPlain: isPlain)
            if let content { try Self.replace(by: content, &event, &stored) }
        } catch {
            throw LogError(.corrupt, "event \(stored.position) of a run, rewritten: \(error)")
        }
        try times.take(.init(event, isPlain: isPlain, stored), at: stored.position) {
            (event, hasOtherTime) throws(LogError) in
            var stored = event.stored
            if hasOtherTime { stored.body = event.event.encoded() }
            try Self.give(stored, give)
        }
    }

    /// Gives what is held back.
    mutating func finish(give: ArchiveSlice.Give) throws(LogError) {
        try times.finish { (event, _) throws(LogError) in try Self.give(event.stored, give) }
    }

    private static func replace(
        by content: RunEvent.Content, _ event: inout RunEvent, _ stored: inout Stored
    ) throws(FormatError) {
        // What a newer version wrote behind the fields that are known is of the event still.
        let unknown = try RunEvent.unknownByteCount(stored.body.rawSpan)
        event.content = content
        stored.body = event.encoded() + stored.body.suffix(unknown)
        switch content {
        case .snapshot: stored.progress.isWholeState = false
        default:
            stored.progress.isWholeState = RunEvent.isWholeCommit(stored.body.rawSpan)
        }
    }

    private static func give(_ stored: Stored, _ give: ArchiveSlice.Give) throws(LogError) {
        try give(
            stored.epoch, stored.position, stored.sequence, stored.body.rawSpan, stored.progress)
    }
}

extension RunEvent {
    /// Whether it is of a kind of which bytes may be left out.
    fileprivate var canBeBlanked: Bool {
        switch content {
        case .attemptStarted, .stepCommitted, .snapshot: true
        default: false
        }
    }
}
