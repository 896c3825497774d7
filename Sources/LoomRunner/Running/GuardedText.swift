internal import LoomModel
internal import LoomStorage

/// Has an error describe itself where that harms nobody: on a thread with a large stack, and for a
/// second at most.
///
/// The description of an error is its author's code. It may take for ever, or go deeper than the
/// stack of a task. One that calls itself without end still ends the process, as it would anywhere.
package enum GuardedText {
    private static let nanosecondsMax: UInt64 = 1_000_000_000
    private static let stackBytes = 64 << 20
    private static let machine = POSIXStorage().machine

    /// What an error says, in at most `ErrorText.bytesMax` bytes.
    package static func words(_ error: any Error) -> String {
        if isPlain(error) { return ErrorText.words(error) }
        return made { ErrorText.words(error) } ?? "it did not describe itself within a second"
    }

    /// What is recorded of an error: `TypeName: message`, or the error's own words.
    static func recorded(_ error: any Error) -> String {
        let type = String("\(type(of: error))".prefix(200))
        if isPlain(error) { return ErrorText.cut("\(type): \(ErrorText.words(error))") }
        guard let classified = error as? any ClassifiedError else {
            return ErrorText.cut("\(type): \(words(error))")
        }
        return made { ErrorText.cut(classified.recordedMessage) }
            ?? "\(type): it did not describe itself within a second"
    }

    /// Whether an error has its words ready: no thread is needed to ask it.
    private static func isPlain(_ error: any Error) -> Bool {
        switch error {
        case is StepFailure, is ToolDidNotHappen, is AttemptTimeout, is RunnerError: true
        case is CancellationError, is EncodingError, is DecodingError: true
        default: false
        }
    }

    /// The text that `body` makes; `nil` when it takes longer than a second.
    private static func made(_ body: @escaping @Sendable () -> String) -> String? {
        let monitor = Monitor<String?>(nil)
        do throws(StorageError) {
            try WorkerThread.start("loom-error", stackBytes: stackBytes) {
                let text = body()
                monitor.withLock { $0 = text }
                monitor.notifyAll()
            }
        } catch {
            // No thread is to be had: better its own word than none.
            return body()
        }
        let end = machine.monotonicNanoseconds() + nanosecondsMax
        return monitor.wait { text -> MonitorStep<String?> in
            if text != nil || machine.monotonicNanoseconds() >= end { return .finish(text) }
            return .wait(until: end)
        }
    }
}
