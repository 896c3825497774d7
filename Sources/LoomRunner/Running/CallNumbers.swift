internal import LoomModel

/// The numbers that tell the calls of one attempt from equal ones: calls without a key, of one tool
/// and request.
///
/// A call takes the least number, not held in its attempt, under which an earlier call of the step
/// completed or has no end: so that it is answered with that one, or is that one made again. Where
/// there is none, it takes the least number that is not held. A call that failed gives its number
/// back: a step that tries again by itself makes the same call again, not another one, and the next
/// attempt finds it.
struct CallNumbers: Sendable {
    private struct Call: Hashable {
        var name: [UInt8]
        var request: [UInt8]

        init(_ start: ToolStart) {
            name = Array(start.name.utf8)
            request = start.request
        }
    }

    private struct Numbers {
        /// By number, the position of the call that holds it.
        var held: [UInt64: UInt64] = [:]
        /// Every number below is held.
        var firstFree: UInt64 = 0
        /// No number below is one of an earlier call that could be taken. A number that is taken
        /// anew is none before it is given back.
        var firstKnown: UInt64 = 0
    }

    private var calls: [Call: Numbers] = [:]

    var isEmpty: Bool { calls.isEmpty }

    mutating func removeAll() { calls.removeAll(keepingCapacity: true) }

    /// The number that a call would take. It holds it from ``hold(_:_:)`` on.
    mutating func next(for start: ToolStart, in table: ToolCallTable) -> UInt64 {
        let numbers = calls[Call(start)] ?? Numbers()
        let known = table.number(of: start, from: numbers.firstKnown) { numbers.held[$0] != nil }
        if let known { return known }
        if numbers.firstKnown != .max { calls[Call(start), default: Numbers()].firstKnown = .max }
        return numbers.firstFree
    }

    /// A call takes the number of its key, if that is one.
    mutating func hold(_ start: ToolStart, _ position: UInt64) {
        guard case .occurrence(let number) = start.key else { return }
        var numbers = calls.removeValue(forKey: Call(start)) ?? Numbers()
        numbers.held[number] = position
        while numbers.held[numbers.firstFree] != nil { numbers.firstFree += 1 }
        if numbers.firstKnown <= number, number < .max { numbers.firstKnown = number + 1 }
        calls[Call(start)] = numbers
    }

    /// A call gives its number back, if it holds one.
    mutating func giveBack(_ start: ToolStart, _ position: UInt64) {
        guard case .occurrence(let number) = start.key,
            calls[Call(start)]?.held[number] == position
        else { return }
        var numbers = calls.removeValue(forKey: Call(start)) ?? Numbers()
        numbers.held[number] = nil
        numbers.firstFree = min(numbers.firstFree, number)
        numbers.firstKnown = min(numbers.firstKnown, number)
        calls[Call(start)] = numbers
    }
}

/// A call that this process makes or settles now.
struct CallInFlight: Sendable {
    let start: ToolStart
    /// Who waits for its end.
    var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
}
