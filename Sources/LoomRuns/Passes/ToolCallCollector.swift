internal import LoomModel

/// Gathers the managed tool calls of a run, in the order in which they began.
struct ToolCallCollector {
    let step: UInt64?
    var window: RowWindow<ToolCallRow>
    /// Rows by the position of their start; an end may come again, as a correction.
    private var started: [UInt64: Int] = [:]
    /// Rows by the position of their end, which is how later attempts name them.
    private var ended: [UInt64: Int] = [:]

    init(step: UInt64?, window: RowWindow<ToolCallRow>) {
        self.step = step
        self.window = window
    }

    mutating func see(_ event: RunEvent, at position: UInt64) {
        switch event.content {
        case .toolStarted(let start):
            if let step, start.attempt.step != step { return }
            let index = window.add {
                ToolCallRow(position: position, start: start, started: event.time)
            }
            if let index { started[position] = index }
        case .toolFinished(let finish):
            guard let index = started[finish.start] else { return }
            ended[position] = index
            window.change(index) { $0.end(finish, event.time) }
        case .toolThrew(let start, let failure):
            if let index = started[start] { window.change(index) { $0.failure = failure } }
        case .toolReused(_, let finish):
            if let index = ended[finish] { window.change(index) { $0.reuseCount += 1 } }
        default: break
        }
    }
}

extension ToolCallRow {
    fileprivate mutating func end(_ finish: ToolFinish, _ time: EventTime) {
        // Earlier versions did not write whose word it was: a later one was a person's.
        author = finished != nil && finish.author == .tool ? .person : finish.author
        finished = time
        (result, failure) = (nil, nil)
        switch finish.outcome {
        case .completed(let result):
            status = .completed
            self.result = result
        case .failed(let failure):
            status = .failed
            self.failure = failure
        case .didNotHappen: status = .didNotHappen
        }
    }
}
