public import LoomModel

/// When a failed attempt is followed by another.
///
/// Failures are counted from the log, since the step began or since the last `retry`; so the limit
/// holds across resumes. Interruptions are no failures: they have a limit of their own.
public struct RetryPolicy: Hashable, Sendable {
    /// Failures of one step after which the run fails; 0 counts as 1.
    public var attemptsMax: UInt64
    /// The categories that may be tried again.
    public var categories: Set<FailureCategory>
    /// The delay before the first retry; doubles with each further one.
    public var delay: Duration
    /// The longest delay.
    public var delayMax: Duration
    /// The longest wait that an error may ask for by its `retryAfter`. What is cut is recorded in
    /// the attempt's failure. A day.
    public var retryAfterMax: Duration
    /// The part of the delay that is random, 0 to 1: it keeps many runs from trying in step.
    public var jitter: Double
    /// Interruptions of one step after which the run is paused.
    public var interruptionsMax: UInt64

    /// Creates a policy: three attempts at transient failures, from 200 ms on.
    public init(
        attemptsMax: UInt64 = 3, categories: Set<FailureCategory> = [.transient],
        delay: Duration = .milliseconds(200), delayMax: Duration = .seconds(30),
        jitter: Double = 0.5, interruptionsMax: UInt64 = 10,
        retryAfterMax: Duration = .seconds(86_400)
    ) {
        self.attemptsMax = attemptsMax
        self.categories = categories
        self.delay = delay
        self.delayMax = delayMax
        self.jitter = jitter
        self.interruptionsMax = interruptionsMax
        self.retryAfterMax = retryAfterMax
    }

    /// What follows a failure that is the `count`th of its step.
    ///
    /// - Parameter random: A number from 0 to 1, for the jitter.
    public func decision(
        after failure: Failure, count: UInt64, retryAfter: Duration?, random: Double
    ) -> FailureDecision {
        guard failure.isRetryable, categories.contains(failure.category), count < attemptsMax
        else { return .fail }
        // Doubled as often as it fails; by steps, as what is doubled may be as long as it likes.
        var full = max(.zero, min(delay, delayMax))
        for _ in 1..<max(1, min(count, 65)) where full < delayMax {
            full = full < delayMax / 2 ? full * 2 : delayMax
        }
        let share = 1 - jitter * random
        let wait = Double(full.clampedMicroseconds) * (share.isFinite ? max(0, min(share, 1)) : 1)
        let asked = min(retryAfter ?? .zero, retryAfterMax)
        return .retry(delay: max(UInt64(wait), asked.clampedMicroseconds))
    }

    /// What is to be told of a wait that an error asks for and does not get, or `nil`.
    func cut(_ retryAfter: Duration?) -> String? {
        guard let retryAfter, retryAfter > retryAfterMax else { return nil }
        return "it asked to wait \(retryAfter.words), which was cut to \(retryAfterMax.words)"
    }
}
