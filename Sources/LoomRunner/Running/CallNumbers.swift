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
        /// Every number below is held, or in `free`.
        var firstFree: UInt64 = 0
        /// Numbers that were given back. Some may be held again.
        var free = LeastFirst()
        /// Every number below was seen: those of earlier calls that could be taken and were not are
        /// in `known`.
        var firstSeen: UInt64 = 0
        /// Numbers that were given back by calls without an end. Some may be held again.
        var known = LeastFirst()
    }

    private var calls: [Call: Numbers] = [:]

    var isEmpty: Bool { calls.isEmpty }

    mutating func removeAll() { calls.removeAll(keepingCapacity: true) }

    /// The number that a call would take. It holds it from ``hold(_:_:)`` on.
    mutating func next(for start: ToolStart, in table: ToolCallTable) -> UInt64 {
        let call = Call(start)
        // Taken out, so that its parts are not copied.
        var numbers = calls.removeValue(forKey: call) ?? Numbers()
        defer { calls[call] = numbers }
        let held = numbers.held
        let seen = table.number(of: start, from: numbers.firstSeen) { held[$0] != nil }
        // Kept, so that nothing before it is looked at again.
        numbers.firstSeen = seen ?? .max
        let given = numbers.known.least { held[$0] == nil }
        if let known = [seen, given].compactMap({ $0 }).min() { return known }
        return numbers.free.least { held[$0] == nil } ?? numbers.firstFree
    }

    /// A call takes the number of its key, if that is one.
    mutating func hold(_ start: ToolStart, _ position: UInt64) {
        guard case .occurrence(let number) = start.key else { return }
        let call = Call(start)
        var numbers = calls.removeValue(forKey: call) ?? Numbers()
        numbers.held[number] = position
        while numbers.held[numbers.firstFree] != nil { numbers.firstFree += 1 }
        calls[call] = numbers
    }

    /// A call gives its number back, if it holds one.
    ///
    /// - Parameter isKnown: Whether the call has no end, so that the number stands for it still.
    mutating func giveBack(_ start: ToolStart, _ position: UInt64, isKnown: Bool) {
        let call = Call(start)
        guard case .occurrence(let number) = start.key, calls[call]?.held[number] == position
        else { return }
        var numbers = calls.removeValue(forKey: call) ?? Numbers()
        numbers.held[number] = nil
        if number < numbers.firstFree { numbers.free.add(number) }
        if isKnown { numbers.known.add(number) }
        calls[call] = numbers
    }
}

/// Numbers of which the least is wanted: a heap.
private struct LeastFirst: Sendable {
    private var numbers: [UInt64] = []

    mutating func add(_ number: UInt64) {
        numbers.append(number)
        var place = numbers.count - 1
        while place > 0, numbers[place] < numbers[(place - 1) / 2] {
            numbers.swapAt(place, (place - 1) / 2)
            place = (place - 1) / 2
        }
    }

    /// The least number that `isWanted`; those before it are forgotten.
    mutating func least(_ isWanted: (UInt64) -> Bool) -> UInt64? {
        while let first = numbers.first {
            if isWanted(first) { return first }
            removeFirst()
        }
        return nil
    }

    private mutating func removeFirst() {
        numbers.swapAt(0, numbers.count - 1)
        numbers.removeLast()
        var place = 0
        while true {
            var least = place
            for child in [2 * place + 1, 2 * place + 2]
            where child < numbers.count && numbers[child] < numbers[least] { least = child }
            if least == place { return }
            numbers.swapAt(place, least)
            place = least
        }
    }
}

/// A call that this process makes or settles now.
struct CallInFlight: Sendable {
    let start: ToolStart
    /// Who waits for its end.
    var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
}
