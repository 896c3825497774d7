/// Callers to tell that a position is durable, or why it will not be.
///
/// Whoever collects them delivers them last, when the thread holds no lock and no right of the
/// writer: a callback may append, close the writer, or hold the last reference to it.
struct Notices {
    private var list: [(callback: LogWriter.DurableCallback, error: LogError?)] = []

    init() {}

    /// One answer for several callers.
    init(_ waiters: [WriterState.Waiter], _ error: LogError?) {
        list = waiters.map { ($0.callback, error) }
    }

    /// Tells everyone, in the order in which they asked.
    consuming func deliver() {
        for notice in list { notice.callback(notice.error) }
    }
}
