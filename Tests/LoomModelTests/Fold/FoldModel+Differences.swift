import LoomModel

// A fold and the model, compared.

extension FoldModel {
    /// The names of what a fold tells otherwise.
    func differences(from fold: RunFold) -> [String] {
        let summary = fold.summary
        let checks: [(String, Bool)] = [
            ("status", summary.status == status),
            ("stepIndex", summary.stepIndex == stepIndex),
            ("checkpointCount", summary.checkpointCount == stepIndex + 1),
            ("openAttempt", summary.openAttempt == openAttempt),
            ("nextAttempt", summary.nextAttempt == nextAttempt),
            ("attemptCount", summary.attemptCount == attemptCount),
            ("retryCount", summary.retryCount == retryCount),
            ("failedAttemptCount", summary.failedAttemptCount == failedAttemptCount),
            ("interruptedAttemptCount", summary.interruptedAttemptCount == interruptedAttemptCount),
            ("failuresOfStep", summary.failuresOfStep == failuresOfStep),
            ("interruptionsOfStep", summary.interruptionsOfStep == interruptionsOfStep),
            ("toolCallCount", summary.toolCallCount == toolCallCount),
            ("lastFailureCategory", summary.lastFailureCategory == lastFailureCategory),
            ("nextPosition", summary.nextPosition == UInt64(kinds.count)),
            ("epoch", summary.epoch == epoch),
            ("created", events.isEmpty || summary.created == events[0].time),
            ("updated", events.isEmpty || summary.updated == events[events.count - 1].time),
            ("pauseReason", summary.pauseReason == pauseReason),
            ("failure", summary.failure == failure),
            ("result", fold.result == result),
            ("labels", summary.labels == labels),
            ("policy", summary.policy == policy),
            ("payloads", summary.payloads == payloads),
            ("stateVersion", summary.stateVersion == stateVersion),
            ("holder", summary.holder == holder),
            ("unfinished calls", fold.calls.unfinished.map(\.position) == openCalls),
        ]
        return checks.filter { !$0.1 }.map(\.0)
    }
}
