import LoomModel
import Testing

@testable import LoomRunner

/// The numbers of equal calls, without the calls.
@Suite struct CallNumberTests {
    private func start(_ number: UInt64) -> ToolStart {
        ToolStart(
            attempt: AttemptID(step: 0, attempt: 0), name: "poll", safety: .pure,
            key: .occurrence(number), request: [])
    }

    /// Takes the next number; returns it.
    private func take(_ numbers: inout CallNumbers, _ position: UInt64) -> UInt64 {
        let number = numbers.next(for: start(0), in: RunFold().calls)
        numbers.hold(start(number), position)
        return number
    }

    @Test("a call takes the least number that was given back, whose call has no end first")
    func leastFirst() {
        var numbers = CallNumbers()
        for position in 0..<10 { #expect(take(&numbers, UInt64(position)) == position) }
        for number: UInt64 in [7, 2, 5] {
            numbers.giveBack(start(number), number, isKnown: number == 5)
        }
        #expect((10..<15).map { take(&numbers, $0) } == [5, 2, 7, 10, 11])
        // Another call holds it by now.
        numbers.giveBack(start(5), 5, isKnown: true)
        #expect(take(&numbers, 15) == 12)
        numbers.giveBack(start(12), 15, isKnown: false)
        numbers.giveBack(start(0), 0, isKnown: false)
        #expect((16..<19).map { take(&numbers, $0) } == [0, 12, 13])
    }

    /// Each went over all that were held: 8,000 equal calls that were tried again took 43 s.
    @Test("equal calls that are tried again cost the same beside any number of others")
    func linear() {
        func time(_ count: UInt64) -> Double {
            let taken = ContinuousClock().measure {
                var numbers = CallNumbers()
                for position in 0..<count { _ = take(&numbers, position) }
                for number in 0..<count {
                    numbers.giveBack(start(number), number, isKnown: number % 2 == 0)
                    #expect(take(&numbers, count + number) == number)
                }
            }
            return taken / .seconds(1)
        }
        let few = (0..<3).map { _ in time(300) }.min() ?? 0
        let many = (0..<3).map { _ in time(6_000) }.min() ?? 0
        #expect(many < few * 80, "\(few) s for 300, \(many) s for 6,000")
    }
}
