/// Finds what two states have in common: the start, the end, and what lies between the changes.
///
/// Goal: time near that of a comparison for the changes that loops make (a counter, a message, a
/// field), and linear time for everything else. Method: trim the common start and end; go along the
/// middle, and at each difference look a few bytes ahead on both sides for where they agree again;
/// where that fails, look the next window up in an index of the base's blocks. What it does not do:
/// find matches shorter than a block that lie far away.
@safe struct StateMatcher {
    private let base: UnsafeRawBufferPointer
    private let target: UnsafeRawBufferPointer
    /// Positions from here on are the common end.
    private let baseEnd: Int
    private let targetEnd: Int
    private var index: BlockIndex?

    /// How far a near match is looked for, in bytes on either side.
    private static let nearBytes = 24
    /// Bytes that must agree for a near match to count.
    private static let agreeBytes = 16

    init(base: UnsafeRawBufferPointer, target: UnsafeRawBufferPointer) {
        unsafe self.base = base
        unsafe self.target = target
        let prefix = unsafe Self.commonPrefix(base, 0, target, 0)
        var suffix = 0
        let most = min(base.count, target.count) - prefix
        while suffix + 8 <= most,
            unsafe base.loadUnaligned(fromByteOffset: base.count - suffix - 8, as: UInt64.self)
                == target.loadUnaligned(
                    fromByteOffset: target.count - suffix - 8, as: UInt64.self)
        { suffix += 8 }
        while suffix < most,
            unsafe base[base.count - suffix - 1] == target[target.count - suffix - 1]
        { suffix += 1 }
        baseEnd = base.count - suffix
        targetEnd = target.count - suffix
    }

    /// Calls `emit` for each hunk, in order: what is copied from the base, what is inserted after
    /// it.
    mutating func match(_ emit: (_ copy: Range<Int>, _ insert: Range<Int>) -> Void) {
        let prefix = min(unsafe Self.commonPrefix(base, 0, target, 0), baseEnd, targetEnd)
        var copy = 0..<prefix
        var inserted = prefix
        var position = prefix
        while position < targetEnd {
            guard let next = nextMatch(base: copy.upperBound, target: position) else { break }
            if !copy.isEmpty || inserted < next.target {
                emit(copy, inserted..<next.target)
            }
            copy = next.base..<(next.base + next.count)
            position = next.target + next.count
            inserted = position
        }
        finish(copy, inserted, emit)
    }

    /// The last copy, the last insertion, and the common end.
    private func finish(
        _ copy: Range<Int>, _ inserted: Int, _ emit: (Range<Int>, Range<Int>) -> Void
    ) {
        let end = unsafe baseEnd..<base.count
        // A copy that runs straight into the common end is one copy.
        if inserted == targetEnd, copy.upperBound == baseEnd {
            let joined = copy.lowerBound..<end.upperBound
            if !joined.isEmpty { unsafe emit(joined, target.count..<target.count) }
            return
        }
        if !copy.isEmpty || inserted < targetEnd { emit(copy, inserted..<targetEnd) }
        if !end.isEmpty { unsafe emit(end, target.count..<target.count) }
    }

    private struct Match {
        var base: Int
        var target: Int
        var count: Int
    }

    /// The next place where the target goes on as some place of the base does.
    private mutating func nextMatch(base from: Int, target position: Int) -> Match? {
        // A difference of a few bytes, a counter say, is cheaper inserted than searched.
        guard targetEnd - position >= Self.agreeBytes else { return nil }
        if baseEnd - from >= Self.agreeBytes, let near = nearMatch(base: from, target: position) {
            return near
        }
        // An index is built once, and not for an end that is shorter than one of its blocks.
        guard targetEnd - position >= BlockIndex.blockBytesMin else { return nil }
        if index == nil { index = unsafe BlockIndex(base, from: 0, to: base.count) }
        guard let found = unsafe index?.find(in: target, from: position, to: targetEnd) else {
            return nil
        }
        var match = Match(base: found.base, target: found.target, count: 0)
        while match.target > position, match.base > 0,
            unsafe base[match.base - 1] == target[match.target - 1]
        {
            match.base -= 1
            match.target -= 1
        }
        match.count = length(base: match.base, target: match.target)
        return match
    }

    /// Looks for the smallest step on both sides after which they agree again.
    private func nearMatch(base from: Int, target position: Int) -> Match? {
        for sum in 1...(2 * Self.nearBytes) {
            for ahead in max(0, sum - Self.nearBytes)...min(sum, Self.nearBytes) {
                let (b, t) = (from + sum - ahead, position + ahead)
                guard b < baseEnd, t < targetEnd else { continue }
                let rest = min(baseEnd - b, targetEnd - t)
                let count = length(base: b, target: t, limit: Self.agreeBytes)
                if count >= min(Self.agreeBytes, rest), count >= 4 {
                    return Match(base: b, target: t, count: length(base: b, target: t))
                }
            }
        }
        return nil
    }

    /// How many bytes agree from two places on, up to the common end.
    private func length(base from: Int, target position: Int, limit: Int = .max) -> Int {
        // Matches found through the index may lie in the common end of the base: those stop at its
        // end.
        let most = unsafe min(base.count - from, targetEnd - position, limit)
        return unsafe Self.commonPrefix(
            UnsafeRawBufferPointer(rebasing: base[from..<(from + most)]), 0,
            UnsafeRawBufferPointer(rebasing: target[position..<(position + most)]), 0)
    }

    /// How many bytes agree, eight at a time.
    private static func commonPrefix(
        _ a: UnsafeRawBufferPointer, _ i: Int, _ b: UnsafeRawBufferPointer, _ j: Int
    ) -> Int {
        let most = min(a.count - i, b.count - j)
        var count = 0
        while count + 8 <= most {
            let left = unsafe a.loadUnaligned(fromByteOffset: i + count, as: UInt64.self)
            let right = unsafe b.loadUnaligned(fromByteOffset: j + count, as: UInt64.self)
            let difference = left ^ right
            if difference != 0 {
                return count + UInt64(littleEndian: difference).trailingZeroBitCount / 8
            }
            count += 8
        }
        while count < most, unsafe a[i + count] == b[j + count] { count += 1 }
        return count
    }
}

/// Where the blocks of the base are, by a hash that rolls along the target.
@safe struct BlockIndex {
    private let base: UnsafeRawBufferPointer
    private let blockBytes: Int
    private let mask: Int
    /// Block number + 1 by slot; a later block takes the slot: bounded memory, no chains to walk.
    private var slots: [UInt32]
    /// The factor of the byte that leaves the window.
    private let outgoing: UInt64

    /// The least that a match through the index holds.
    static let blockBytesMin = 32
    private static let factor: UInt64 = 0x9E37_79B9_7F4A_7C15
    private static let blocksMax = 1 << 18

    /// - Returns: `nil` when the base is shorter than one block.
    init?(_ base: UnsafeRawBufferPointer, from: Int, to end: Int) {
        var size = Self.blockBytesMin
        while (end - from) / size > Self.blocksMax { size *= 2 }
        let count = (end - from) / size
        guard count > 0 else { return nil }
        unsafe self.base = base
        blockBytes = size
        var slotCount = 64
        while slotCount < 2 * count { slotCount *= 2 }
        mask = slotCount - 1
        slots = [UInt32](repeating: 0, count: slotCount)
        var power: UInt64 = 1
        for _ in 0..<(size - 1) { power = power &* Self.factor }
        outgoing = power
        for block in stride(from: count - 1, through: 0, by: -1) {
            let hash = unsafe Self.hash(base, from + block * size, size)
            slots[slot(hash)] = UInt32(block + 1)
        }
    }

    private func slot(_ hash: UInt64) -> Int { Int(truncatingIfNeeded: hash >> 32) & mask }

    private static func hash(_ bytes: UnsafeRawBufferPointer, _ start: Int, _ count: Int) -> UInt64
    {
        var hash: UInt64 = 0
        for index in start..<(start + count) {
            hash = unsafe hash &* factor &+ UInt64(bytes[index]) &+ 1
        }
        return hash
    }

    /// The first window of the target, from a position on, that is a block of the base.
    func find(
        in target: UnsafeRawBufferPointer, from start: Int, to end: Int
    ) -> (base: Int, target: Int)? {
        guard end - start >= blockBytes else { return nil }
        var hash = unsafe Self.hash(target, start, blockBytes)
        var position = start
        while true {
            let block = slots[slot(hash)]
            if block != 0 {
                let place = Int(block - 1) * blockBytes
                if unsafe isEqual(place, target, position) { return (place, position) }
            }
            guard position + blockBytes < end else { return nil }
            let leaving = unsafe (UInt64(target[position]) &+ 1) &* outgoing
            let entering = unsafe UInt64(target[position + blockBytes]) &+ 1
            hash = (hash &- leaving) &* Self.factor &+ entering
            position += 1
        }
    }

    private func isEqual(_ place: Int, _ target: UnsafeRawBufferPointer, _ position: Int) -> Bool {
        for step in stride(from: 0, to: blockBytes, by: 8) {
            let a = unsafe base.loadUnaligned(fromByteOffset: place + step, as: UInt64.self)
            let b = unsafe target.loadUnaligned(fromByteOffset: position + step, as: UInt64.self)
            if a != b { return false }
        }
        return true
    }
}
