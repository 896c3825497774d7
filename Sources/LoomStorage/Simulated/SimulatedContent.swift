/// The bytes and size of one simulated file: what is durable, and every state since.
///
/// Only sectors are kept that were ever not zero; all others cost nothing. Every change carries a
/// stamp, so that a sync covers what was there when it began and nothing that came while it ran.
struct SimulatedContent {
    /// A sector's bytes after one store.
    private struct Version {
        let stamp: UInt64
        var bytes: [UInt8]
        /// Stored as one word: never seen in part.
        let isWord: Bool
    }

    private(set) var size = 0
    private var durableSize = 0
    /// The sizes since the last full sync, oldest first.
    private var pendingSizes: [(stamp: UInt64, size: Int)] = []
    private var durable: [Int: [UInt8]] = [:]
    /// The states of every dirty sector since the last sync, oldest first, never empty.
    private var pending: [Int: [Version]] = [:]
    /// Changes up to this stamp were dirty when a sync failed: no later sync writes them out.
    private var forsaken: UInt64 = 0
    private let zeros: [UInt8]

    init(sectorBytes: Int) { zeros = [UInt8](repeating: 0, count: sectorBytes) }

    /// Whether power loss could take anything away.
    var hasPending: Bool { !pending.isEmpty || !pendingSizes.isEmpty }

    private var sectorBytes: Int { zeros.count }

    private func current(_ sector: Int) -> [UInt8]? {
        pending[sector]?.last?.bytes ?? durable[sector]
    }
}

// MARK: - Reading and storing

extension SimulatedContent {
    /// Copies what a reader sees now; the count is short at the end of the file.
    func read(into target: UnsafeMutableRawBufferPointer, at offset: Int) -> Int {
        let count = max(0, min(target.count, size - offset))
        guard count > 0 else { return 0 }
        let target = unsafe UnsafeMutableRawBufferPointer(rebasing: target[..<count])
        unsafe target.initializeMemory(as: UInt8.self, repeating: 0)
        for sector in storedSectors(in: offset..<offset + count) {
            guard let bytes = current(sector) else { continue }
            let start = sector * sectorBytes
            let from = max(offset, start)
            let to = min(offset + count, start + sectorBytes)
            unsafe bytes.withUnsafeBytes { bytes in
                let part = unsafe UnsafeRawBufferPointer(rebasing: bytes[from - start..<to - start])
                unsafe UnsafeMutableRawBufferPointer(rebasing: target[(from - offset)...])
                    .copyMemory(from: part)
            }
        }
        return count
    }

    /// Stores bytes, growing the file where they lie behind its end.
    mutating func store(_ source: ArraySlice<UInt8>, at offset: Int, isWord: Bool, stamp: UInt64) {
        guard !source.isEmpty else { return }
        grow(to: offset + source.count, stamp: stamp)
        var done = 0
        while done < source.count {
            let sector = (offset + done) / sectorBytes
            let within = (offset + done) % sectorBytes
            let count = min(sectorBytes - within, source.count - done)
            var bytes = current(sector) ?? zeros
            unsafe bytes.withUnsafeMutableBytes { target in
                unsafe source.withUnsafeBytes { source in
                    unsafe UnsafeMutableRawBufferPointer(rebasing: target[within...]).copyMemory(
                        from: UnsafeRawBufferPointer(rebasing: source[done..<done + count]))
                }
            }
            add(bytes, to: sector, isWord: isWord, stamp: stamp)
            done += count
        }
    }

    /// Stores zeros. Space that was never written is zero already and costs nothing.
    mutating func fillZeros(from offset: Int, to end: Int, stamp: UInt64) {
        guard offset < end else { return }
        for sector in storedSectors(in: offset..<end) {
            var bytes = current(sector) ?? zeros
            let start = sector * sectorBytes
            for index in max(offset, start) - start..<min(end, start + sectorBytes) - start {
                bytes[index] = 0
            }
            add(bytes, to: sector, isWord: false, stamp: stamp)
        }
        grow(to: end, stamp: stamp)
    }

    /// Cuts the file off at `end`; what grows there again is zero.
    mutating func truncate(to end: Int, stamp: UInt64) {
        guard size > end else { return }
        fillZeros(from: end, to: size, stamp: stamp)
        pendingSizes.append((stamp, end))
        size = end
    }

    private mutating func grow(to end: Int, stamp: UInt64) {
        guard end > size else { return }
        size = end
        pendingSizes.append((stamp, end))
    }

    private mutating func add(_ bytes: [UInt8], to sector: Int, isWord: Bool, stamp: UInt64) {
        // The same bytes are no new state, but they do make a forsaken sector dirty again.
        let isForsaken = pending[sector]?.last.map { $0.stamp <= forsaken } ?? false
        if !isForsaken, bytes == current(sector) ?? zeros { return }
        pending[sector, default: []].append(Version(stamp: stamp, bytes: bytes, isWord: isWord))
    }

    /// The sectors of the range that may hold something, found on the cheaper way.
    private func storedSectors(in bytes: Range<Int>) -> [Int] {
        let first = bytes.lowerBound / sectorBytes
        let last = (bytes.upperBound - 1) / sectorBytes
        if last - first < durable.count + pending.count { return Array(first...last) }
        return Set(durable.keys).union(pending.keys).filter { $0 >= first && $0 <= last }.sorted()
    }
}

// MARK: - Durability

extension SimulatedContent {
    /// Makes everything up to the stamp durable, sizes too.
    mutating func sync(upTo stamp: UInt64) {
        if let last = pendingSizes.last(where: { $0.stamp <= stamp }), last.stamp > forsaken {
            durableSize = last.size
            pendingSizes.removeAll { $0.stamp <= stamp }
        }
        settle(upTo: stamp, below: .max)
    }

    /// Makes the bytes up to the stamp durable that lie inside the durable size.
    mutating func syncData(upTo stamp: UInt64) { settle(upTo: stamp, below: durableSize) }

    /// A sync failed: what was dirty is clean from now on, whatever the disk took of it.
    mutating func forsake(upTo stamp: UInt64) { forsaken = max(forsaken, stamp) }

    /// Lets go of the pages that pass for clean: of forsaken sectors the disk's state shows up.
    mutating func dropCache(with random: inout SplitMix) {
        for sector in pending.keys.sorted() {
            guard let versions = pending[sector], let last = versions.last, last.stamp <= forsaken
            else { continue }
            let choice = random.below(versions.count + 1)
            if choice > 0 { durable[sector] = versions[choice - 1].bytes }
            pending[sector] = nil
        }
    }

    private mutating func settle(upTo stamp: UInt64, below limit: Int) {
        for (sector, versions) in pending {
            let start = sector * sectorBytes
            let covered = versions.prefix { $0.stamp <= stamp }
            guard start < limit, let last = covered.last, last.stamp > forsaken else { continue }
            if start + sectorBytes <= limit {
                durable[sector] = last.bytes
                let later = versions.dropFirst(covered.count)
                pending[sector] = later.isEmpty ? nil : Array(later)
            } else {
                settleHead(of: sector, bytes: limit - start, versions: versions, last: last)
            }
        }
    }

    /// The durable size ends in this sector: only the bytes before it are promised.
    private mutating func settleHead(
        of sector: Int, bytes count: Int, versions: [Version], last: Version
    ) {
        let head = last.bytes.prefix(count)
        durable[sector] = Array(head + (durable[sector] ?? zeros)[count...])
        let left = versions.map { version in
            if version.stamp > last.stamp { return version }
            var version = version
            version.bytes = Array(head + version.bytes[count...])
            return version
        }
        pending[sector] = left.allSatisfy { $0.bytes == durable[sector] } ? nil : left
    }

    /// What power loss leaves: one allowed state, all of it durable.
    mutating func losePower(_ sampler: inout ImageSampler) {
        for sector in pending.keys.sorted() {
            guard let versions = pending[sector] else { continue }
            let choice = sampler.version(versions.count)
            guard choice > 0 else { continue }
            let version = versions[choice - 1]
            var bytes = version.bytes
            // Outside the store both states are the same: cutting the sector cuts the store.
            if !version.isWord, let cut = sampler.tear(sectorBytes) {
                let before = choice > 1 ? versions[choice - 2].bytes : durable[sector] ?? zeros
                bytes = Array(bytes[..<cut] + before[cut...])
            }
            durable[sector] = bytes
        }
        let choice = sampler.size(pendingSizes.count)
        if choice > 0 {
            let before = choice > 1 ? pendingSizes[choice - 2].size : durableSize
            durableSize = sampler.step(from: before, to: pendingSizes[choice - 1].size)
        }
        size = durableSize
        pending = [:]
        pendingSizes = []
        forsaken = 0
        for sector in durable.keys where (sector + 1) * sectorBytes > size {
            let kept = max(0, size - sector * sectorBytes)
            let bytes = durable[sector] ?? zeros
            durable[sector] = kept == 0 ? nil : Array(bytes[..<kept] + zeros[kept...])
        }
    }
}
