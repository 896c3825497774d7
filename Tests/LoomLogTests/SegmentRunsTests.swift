import LoomFormat
import Testing

@testable import LoomLog

/// The runs of a segment, by the places of their names.
@Suite struct SegmentRunsTests {
    /// Each declaration added a name for as long as the segment was read: a megabyte of compressed
    /// units took gigabytes.
    @Test("a number that is declared again and again takes no memory")
    func declaredAgain() throws {
        var runs = SegmentRuns()
        let names = try ["a", "b", "c"].map { try RunID($0) }
        for round in 0..<1000 {
            var unit = SegmentRuns.Declarations()
            for number in 0..<30 as Range<UInt64> {
                let name = names[(round + Int(number)) % 3]
                runs.declare(number % 5, as: name, in: &unit)
                let place = try #require(runs.place(of: number % 5, unit))
                runs.keep(unit)
                unit = SegmentRuns.Declarations()
                #expect(runs.names[place] == name && runs.byNumber[number % 5] == name)
            }
        }
        #expect(runs.names.count <= 8 && runs.count == 5)
    }

    @Test("what a unit declares holds in it, and in the segment once it is kept")
    func refused() throws {
        var (runs, first) = (SegmentRuns(), SegmentRuns.Declarations())
        let (a, b, c) = (try RunID("a"), try RunID("b"), try RunID("c"))
        runs.declare(1, as: a, in: &first)
        #expect(runs.place(of: 1, nil) == nil && runs.place(of: 1, first) == 0)
        runs.keep(first)
        var second = SegmentRuns.Declarations()
        runs.declare(1, as: b, in: &second)
        runs.declare(2, as: c, in: &second)
        runs.declare(1, as: c, in: &second)
        runs.declare(1, as: b, in: &second)
        #expect(runs.place(of: 1, second) == 1 && runs.place(of: 2, second) == 2)
        // It was refused.
        #expect(runs.place(of: 1, nil) == 0 && runs.place(of: 2, nil) == nil)
        #expect(runs.names == [a] && runs.byNumber == [1: a] && runs.count == 1)
        runs.keep(second)
        #expect(runs.byNumber == [1: b, 2: c] && runs.count == 2)
    }
}
