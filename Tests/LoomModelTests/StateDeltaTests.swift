import Foundation
import LoomFormat
import LoomTesting
import Testing

@testable import LoomModel

@Suite struct StateDeltaTests {
    private func bytes(_ count: Int, alphabet: UInt8, _ generator: inout SeededGenerator) -> [UInt8]
    {
        (0..<count).map { _ in UInt8.random(in: 0..<alphabet, using: &generator) }
    }

    /// A state made of another by some random edits of every kind.
    private func edited(_ base: [UInt8], _ generator: inout SeededGenerator) -> [UInt8] {
        var state = base
        for _ in 0..<Int.random(in: 0...5, using: &generator) {
            let place = Int.random(in: 0...state.count, using: &generator)
            let length = min(state.count - place, Int.random(in: 0...80, using: &generator))
            let noise = bytes(Int.random(in: 0...60, using: &generator), alphabet: 200, &generator)
            switch Int.random(in: 0..<5, using: &generator) {
            case 0: state.insert(contentsOf: noise, at: place)
            case 1: state.removeSubrange(place..<(place + length))
            case 2: state.replaceSubrange(place..<(place + length), with: noise)
            case 3:
                let moved = Array(state[place..<(place + length)])
                state.removeSubrange(place..<(place + length))
                state.insert(
                    contentsOf: moved, at: Int.random(in: 0...state.count, using: &generator))
            default: state += Array(state.prefix(length))
            }
        }
        return state
    }

    @Test("a delta applied to its base gives the target, for edits of every kind")
    func roundTrips() throws {
        for seed in 0..<3000 {
            var generator = SeededGenerator(UInt64(seed))
            let alphabet: UInt8 = [1, 2, 200][seed % 3]
            let base = bytes(
                Int.random(in: 0...[0, 10, 300, 3000][seed % 4], using: &generator),
                alphabet: alphabet, &generator)
            let target =
                seed % 7 == 0
                ? bytes(Int.random(in: 0...500, using: &generator), alphabet: alphabet, &generator)
                : edited(base, &generator)
            let delta = StateDelta.encode(from: base, to: target)
            let result = try StateDelta.apply(delta.rawSpan, to: base)
            if result != target { Issue.record("seed \(seed)") }
        }
    }

    @Test("composing deltas is the same as applying them one after another")
    func composes() throws {
        for seed in 0..<200 {
            var generator = SeededGenerator(UInt64(seed))
            let base = bytes(400, alphabet: 200, &generator)
            var state = base
            var chain = DeltaChain()
            for _ in 0..<12 {
                let next = edited(state, &generator)
                try chain.append(StateDelta.encode(from: state, to: next).rawSpan)
                state = next
                if try chain.materialise(base) != state { Issue.record("seed \(seed)") }
            }
        }
    }

    @Test("a delta is refused on another base, and a cut or changed one never traps")
    func hostile() throws {
        var generator = SeededGenerator(1)
        let base = bytes(500, alphabet: 50, &generator)
        let delta = StateDelta.encode(from: base, to: edited(edited(base, &generator), &generator))
        #expect(throws: FormatError.self) {
            try StateDelta.apply(delta.rawSpan, to: Array(base.dropLast()))
        }
        for count in 0..<delta.count {
            let cut = Array(delta.prefix(count))
            #expect(throws: FormatError.self) { try StateDelta.apply(cut.rawSpan, to: base) }
        }
        for _ in 0..<30_000 {
            var changed = delta
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                changed[Int.random(in: 0..<changed.count, using: &generator)] =
                    UInt8.random(in: 0...255, using: &generator)
            }
            var chain = DeltaChain()
            let applied = try? StateDelta.apply(changed.rawSpan, to: base, limit: 1 << 20)
            let isComposed = (try? chain.append(changed.rawSpan, limit: 1 << 20)) != nil
            // Both readers must be of one mind; a base of another length only apply can tell.
            if applied != nil { #expect(isComposed) }
        }
    }

    /// Bytes of deltas and of snapshots over some steps of a loop that counts and appends a
    /// message.
    private func cost(stateBytes: Int, steps: Int) -> (deltas: Int, snapshots: Int) {
        var generator = SeededGenerator(3)
        var messages = bytes(stateBytes, alphabet: 90, &generator)
        func make(_ counter: Int) -> [UInt8] {
            Array(#"{"counter":\#(counter),"messages":""#.utf8) + messages + Array(#""}"#.utf8)
        }
        var track = StateTrack(initial: make(0))
        var (deltas, snapshots) = (0, 0)
        for step in 1...steps {
            messages += bytes(100, alphabet: 90, &generator)
            let change = track.commit(make(step), pauses: false)
            deltas += change.delta.count
            snapshots += change.snapshot?.count ?? 0
        }
        return (deltas, snapshots)
    }

    static let isHeavy = ProcessInfo.processInfo.environment["LOOMLOG_HEAVY"] != nil

    @Test("a counter in front and a message at the end of 1 MiB cost under 1 KiB a step")
    func largeState() throws {
        // At 1 MiB a snapshot is due every 8,000 steps or so: the heavy form runs through some.
        let steps = Self.isHeavy ? 10_000 : 30
        let large = cost(stateBytes: 1 << 20, steps: steps)
        #expect(large.deltas / steps < 160, "\(large.deltas / steps) bytes a delta")
        #expect((large.deltas + large.snapshots) / steps < 1024, "\(large)")
        // The same amortisation on a small state, where debug builds see many snapshots.
        let small = cost(stateBytes: 4096, steps: 2000)
        #expect(small.snapshots > 10 * 4096)
        #expect((small.deltas + small.snapshots) / 2000 < 1024, "\(small)")
    }

    /// Sparing the search for small differences gave up wherever the base's rest was small.
    @Test("blocks that changed places, and changes at both ends, cost tens of bytes")
    func moved() throws {
        var generator = SeededGenerator(5)
        let base = bytes(20_000, alphabet: 200, &generator)
        let rotated = Array(base.suffix(12_000)) + Array(base.prefix(8000))
        #expect(StateDelta.encode(from: base, to: rotated).count < 40)
        var edited = base
        edited[10] ^= 1
        edited.insert(contentsOf: [1, 2, 3], at: 10_000)
        edited.removeSubrange(15_000..<15_004)
        #expect(StateDelta.encode(from: base, to: edited + [9]).count < 60)
    }

    @Test("a reader's track follows a writer's")
    func tracks() throws {
        for seed in 0..<50 {
            var generator = SeededGenerator(UInt64(seed))
            var state = bytes(200, alphabet: 200, &generator)
            let time = EventTime(microseconds: 1)
            var writer = StateTrack(initial: state)
            var reader = StateTrack()
            try reader.apply(RunEvent(time: time, .created(.init(loop: "x", state: state))))
            for step in 0..<40 {
                state = edited(state, &generator)
                let change = writer.commit(state, pauses: step % 5 == 0)
                let id = AttemptID(step: UInt64(step), attempt: 0)
                try reader.apply(RunEvent(time: time, .stepCommitted(id, delta: change.delta)))
                if let whole = change.snapshot {
                    try reader.apply(
                        RunEvent(time: time, .snapshot(step: UInt64(step + 1), state: whole)))
                }
                if step % 3 == 0 { #expect(try reader.materialise() == state, "seed \(seed)") }
            }
            #expect(try reader.materialise() == state, "seed \(seed)")
        }
    }

    @Test("a state that was not kept is passed over, and a delta that copies nothing needs no base")
    func notKept() throws {
        func event(_ content: RunEvent.Content) -> RunEvent {
            RunEvent(time: EventTime(microseconds: 1), content)
        }
        func commit(_ step: UInt64, _ delta: [UInt8]) -> RunEvent {
            event(.stepCommitted(AttemptID(step: step, attempt: 0), delta: delta))
        }
        let (first, last): ([UInt8], [UInt8]) = (Array("a state".utf8), Array("a late state".utf8))
        // FORMAT.md 12.2: base length 0, the result's, and a hunk of one insert.
        let whole = StateDelta.whole(last)
        #expect(whole == [0, 12, 0, 0, 12] + last)
        #expect(StateDelta.whole([]) == [0, 0])
        #expect(try StateDelta.apply(whole.rawSpan, to: first) == last)
        let patch = StateDelta.encode(from: first, to: last)
        #expect(try StateDelta.lengths(of: patch.rawSpan).base == first.count)
        #expect(try StateDelta.lengths(of: whole.rawSpan) == (nil, last.count))
        for next in [patch, whole] {
            var track = StateTrack(initial: first)
            try track.apply(commit(0, []))
            try track.apply(event(.snapshot(step: 1, state: [])))
            try track.apply(commit(1, []))
            try track.apply(commit(2, next))
            try track.apply(commit(3, StateDelta.encode(from: last, to: first)))
            #expect(try track.materialise() == first)
        }
        // In a chain, the whole state makes what stood before it of no use.
        var chain = DeltaChain()
        try chain.append(patch.rawSpan)
        try chain.append(StateDelta.whole(first).rawSpan)
        try chain.append(patch.rawSpan)
        #expect(try chain.materialise([1]) == last)
        let other = StateDelta.encode(from: last + last, to: first + last)
        #expect(throws: FormatError.self) { try chain.append(other.rawSpan) }
        #expect(try chain.materialise([1]) == last)
    }

    @Test("a chain of deltas, written as one, leads to the same state")
    func composed() throws {
        for seed in 0..<200 as Range<UInt64> {
            var generator = SeededGenerator(seed)
            let base = bytes(Int(seed), alphabet: 200, &generator)
            var (state, chain) = (base, DeltaChain())
            for _ in 0..<Int.random(in: 1...20, using: &generator) {
                let next = edited(state, &generator)
                try chain.append(StateDelta.encode(from: state, to: next).rawSpan)
                state = next
            }
            let one = chain.encoded()
            #expect(try StateDelta.apply(one.rawSpan, to: base) == state, "seed \(seed)")
        }
    }

    /// 345 bytes of deltas became 17 million pieces: 826 MiB, and twice as much with each delta.
    @Test("deltas that double a state cost the memory of the state")
    func doubling() throws {
        func event(_ content: RunEvent.Content) -> RunEvent {
            RunEvent(time: EventTime(microseconds: 1), content)
        }
        var track = StateTrack()
        try track.apply(event(.created(RunCreation(loop: "l", state: [7]))))
        let before = try #require(ProcessMemory.anonymousKibibytes())
        var length: UInt64 = 1
        for step in 0..<24 as Range<UInt64> {
            var writer = ByteWriter()
            writer.writeVarint(length)
            writer.writeVarint(length * 2)
            for move in [0, length * 2 - 1] {
                writer.writeVarint(move)
                writer.writeVarint(length)
                writer.writeVarint(0)
            }
            let id = AttemptID(step: step, attempt: 0)
            try track.apply(event(.stepCommitted(id, delta: writer.bytes)))
            length *= 2
        }
        #expect(try track.materialise() == [UInt8](repeating: 7, count: 1 << 24))
        // Other tests run beside this one.
        let after = try #require(ProcessMemory.anonymousKibibytes())
        #expect(after - before < 600 << 10)
    }
}
