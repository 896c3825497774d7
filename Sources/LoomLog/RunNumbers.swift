internal import LoomFormat

/// Numbers of runs from 0 on, in the order in which they are met: for what is kept of each in an
/// array. Most events are of the run of the event before, for which no hash is made.
struct RunNumbers {
    private var numbers: [RunID: Int] = [:]
    private var last: (run: RunID, number: Int)?

    /// The names of the runs, in any order.
    var names: some Collection<RunID> { numbers.keys }

    /// The number of a run; `nil` when it was not met.
    subscript(_ run: RunID) -> Int? { numbers[run] }

    /// The number of a run, which is new when it is that of how many there were.
    mutating func number(_ run: RunID) -> Int {
        if let last, last.run == run { return last.number }
        let number = numbers[run] ?? numbers.count
        numbers[run] = number
        last = (run, number)
        return number
    }
}
