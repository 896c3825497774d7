package import LoomFormat

// The two events of which nearly all of a long run consists, folded from their bytes: without an
// array for a delta and without a value for the event.

extension OutlineFold {
    /// What one of these events was.
    package enum Ordinary: Sendable {
        /// The start of an attempt, or a commit whose state is a difference to the one before.
        case plain
        /// A commit that holds a whole state.
        case wholeState
    }

    /// Applies the commit or the start of an attempt from its bytes, if it is one that follows.
    ///
    /// - Parameters:
    ///   - head: The head of the event.
    ///   - body: All of its bytes.
    /// - Returns: What was applied. If `nil`, nothing has changed, and the decoded event says why.
    package mutating func applyOrdinary(
        _ head: EventHead, _ body: RawSpan, at place: RunFold.Place
    ) -> Ordinary? {
        guard head.kind == 2 || head.kind == 7 else { return nil }
        let commits = head.kind == 7
        let id = AttemptID(step: head.step, attempt: head.attempt)
        guard fold.isNext(id, at: place, commits: commits) else { return nil }
        var ordinary = Ordinary.plain
        if commits {
            do throws(FormatError) {
                var reader = ByteReader(body.extracting(droppingFirst: head.byteCount))
                let count = try reader.readLength("delta", limit: FormatLimits.unitBytesMax)
                let isWhole = try parts.state.append(try reader.readBytes(count))
                ordinary = isWhole ? .wholeState : .plain
            } catch {
                return nil
            }
            if head.attempt == 0 { countOrdinaryAttempt() }
        }
        fold.takeNext(
            id, at: place, time: EventTime(microseconds: head.time), commits: commits)
        return ordinary
    }
}
