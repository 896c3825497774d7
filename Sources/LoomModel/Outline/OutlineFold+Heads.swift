internal import LoomFormat

// The two events of which nearly all of a long run consists, folded from their bytes: without an
// array for a delta and without a value for the event.

extension OutlineFold {
    /// Applies the commit or the start of an attempt from its bytes, if it is one that follows.
    ///
    /// - Returns: Whether it was applied. If not, nothing has changed, and the decoded event says
    ///   why.
    package mutating func applyOrdinary(_ body: RawSpan, at place: RunFold.Place) -> Bool {
        guard let head = EventHead(body), head.kind == 2 || head.kind == 7 else { return false }
        let commits = head.kind == 7
        let id = AttemptID(step: head.step, attempt: head.attempt)
        guard fold.isNext(id, at: place, commits: commits) else { return false }
        if commits {
            do throws(FormatError) {
                var reader = ByteReader(body.extracting(droppingFirst: head.byteCount))
                let count = try reader.readLength("delta", limit: FormatLimits.unitBytesMax)
                try parts.state.append(try reader.readBytes(count))
            } catch {
                return false
            }
            if head.attempt == 0 { countOrdinaryAttempt() }
        }
        fold.takeNext(
            id, at: place, time: EventTime(microseconds: head.time), commits: commits)
        return true
    }
}
