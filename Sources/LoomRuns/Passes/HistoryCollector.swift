internal import LoomFormat
internal import LoomModel

/// Makes the rows of a run's history: the states that its policies show.
struct HistoryCollector: RowCollector {
    private let policies: PolicyView
    private var window: RowWindow
    var ready = RowQueue<HistoryRow>()
    var isDone: Bool { window.isFull }

    init(policies: PolicyView, window: RowWindow) {
        (self.policies, self.window) = (policies, window)
    }

    /// A state is final at the end of its step: until then a migration may give it another shape.
    mutating func before(
        _ event: RunEvent, at place: RunFold.Place, _ position: inout RunPosition
    ) throws {
        if case .stepCommitted = event.content { try add(&position) }
    }

    mutating func finish(_ position: inout RunPosition) throws { try add(&position) }

    private mutating func add(_ position: inout RunPosition) throws {
        let step = position.stepIndex
        guard policies.showsState(step), window.takes() else { return }
        ready.append(HistoryRow(step: step, state: try position.state()))
    }
}
