import Foundation
import LoomFormat
import LoomModel
import LoomTesting
import Testing

/// How many bytes the steps of a counter take in an archive: Benchmarks/README.md has the figures.
@Suite struct PackedSizeTests {
    #if DEBUG
    private static let stepCount = 20_000
    #else
    private static let stepCount = 100_000
    #endif

    private struct Size {
        var rows = 0
        var packed = 0
        var file = 0
        var fileBytesAStep: Double { Double(file) / Double(stepCount) }
    }

    /// The archive of a counter, one block of 32 KiB of rows after another.
    private func archive(clock: () -> UInt64) throws -> Size {
        var (size, rows, packing) = (Size(), BlockRows(), RowPacking())
        var target = [UInt8](repeating: 0, count: 64 << 10)
        var position: UInt64 = 0
        func endBlock() throws {
            let fields = BlockEncoder.Fields(
                kind: .events, firstSequence: rows.firstSequence,
                eventCount: UInt32(rows.eventCount), durableUpTo: 0, previousHash: 0)
            let written = unsafe target.withUnsafeMutableBytes {
                unsafe BlockEncoder.encode(
                    fields, rows: rows.payload, packing: &packing, seed: 1, into: $0)
            }
            size.rows += rows.byteCount
            size.packed += packing.packed.byteCount
            size.file += written.byteCount
            rows.removeAll()
        }
        func add(_ event: [UInt8]) throws {
            if rows.isEmpty { _ = rows.declare(try RunID("counter")) }
            rows.append(
                run: 0, epoch: 1, position: position, sequence: position + 1, event.rawSpan)
            position += 1
            if rows.isFull { try endBlock() }
        }
        func state(_ step: Int) -> [UInt8] {
            Array("{\"current\":\(step),\"target\":100000}".utf8)
        }
        var track = StateTrack(initial: state(0))
        for step in 0..<Self.stepCount {
            let advance = StepAdvance(
                AttemptID(step: UInt64(step), attempt: 0),
                track.commit(state(step + 1), pauses: false),
                time: EventTime(microseconds: clock()))
            for event in advance.events { try add(event.encoded()) }
        }
        if !rows.isEmpty { try endBlock() }
        return size
    }

    @Test("a counter takes less than a byte a step with a fixed clock, and three with a noisy one")
    func counter() throws {
        let fixed = try archive { 1_760_000_000_000_000 }
        #if DEBUG
        #expect(fixed.rows == 777_865 && fixed.packed == 253_868, "\(fixed)")
        #else
        #expect(fixed.rows == 4_022_718 && fixed.packed == 1_270_092, "\(fixed)")
        #endif
        // Packing is exact; what LZ4 makes of it may change a little with its version.
        #expect((0.72...0.84).contains(fixed.fileBytesAStep), "\(fixed)")

        var (generator, now) = (SeededGenerator(7), 1_760_000_000_000_000.0)
        let noisy = try archive {
            // Lognormal with a mean of 1 ms.
            let (radius, angle) = (
                Double.random(in: 1e-12..<1, using: &generator),
                Double.random(in: 0..<1, using: &generator)
            )
            now += 1000 * exp((-2 * log(radius)).squareRoot() * cos(2 * .pi * angle) - 0.5)
            return UInt64(now)
        }
        #expect((2.6...3.0).contains(noisy.fileBytesAStep), "\(noisy)")
        #expect(noisy.rows == fixed.rows)
    }
}
