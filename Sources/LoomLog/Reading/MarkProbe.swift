internal import LoomFormat
internal import LoomStorage

/// Tells cheaply that nothing was published since: the words of MARK, while it counts and is where
/// it was.
///
/// Two loads from memory, where MARK can be mapped. That MARK and the folder are where they were is
/// looked at by two system calls, once in 10 ms: a folder that somebody moves away or puts in the
/// place of another is noticed by then.
struct MarkProbe: Sendable {
    private let mark: MarkFile
    private let storage: any AnchoredStorage
    private var published: MarkWord
    private let identity: UInt64
    private var inPlaceUntil: ContinuousClock.Instant

    private static let trust = Duration.milliseconds(10)

    /// `nil` when there is no mark that counts: then every look is a whole one.
    init?(_ log: LogReader) {
        let now = ContinuousClock.now
        guard let mark = try? MarkFile.open(reading: log.directory, storage: log.storage)
        else { return nil }
        mark.map()
        guard let words = try? mark.load(), let identity = try? mark.loadIdentity(),
            // A writer has disowned it since it was opened.
            identity != 0
        else { return nil }
        (self.mark, storage, published) = (mark, log.storage, words.published)
        (self.identity, inPlaceUntil) = (identity, now + Self.trust)
    }

    mutating func isUnchanged() -> Bool {
        guard (try? mark.loadIdentity()) == identity, (try? mark.check(published)) != nil
        else { return false }
        let now = ContinuousClock.now
        guard now >= inPlaceUntil else { return true }
        inPlaceUntil = now + Self.trust
        return isInPlace
    }

    /// Goes on from what MARK says now, before a look at the log; `false` where this is not the
    /// mark to go by any more.
    mutating func renew() -> Bool {
        let now = ContinuousClock.now
        guard isInPlace, let words = try? mark.load(), (try? mark.loadIdentity()) == identity
        else { return false }
        (published, inPlaceUntil) = (words.published, now + Self.trust)
        return true
    }

    private var isInPlace: Bool { (try? storage.checkInPlace([mark.place])) != nil }
}
