internal import LoomFormat
internal import Synchronization

/// Decoded leaves of the tables of archives that were used last, in bounded memory: 16 MiB unless
/// said otherwise.
///
/// Archives never change, so that a leaf is right for as long as the file has its number. Second
/// chance decides what goes: a leaf that was used since the hand passed it stays once more.
final class LeafCache: Sendable {
    /// The archive and the offset of the leaf's block in it.
    struct Key: Hashable {
        let archive: UInt64
        let offset: Int

        /// Both as one number: a cache is asked several times for every run that is looked for.
        func hash(into hasher: inout Hasher) {
            hasher.combine(archive &<< 32 ^ UInt64(truncatingIfNeeded: offset))
        }
    }

    private struct Entry {
        let payload: [UInt8]
        var isUsed = false
    }

    private struct State {
        var entries: [Key: Entry] = [:]
        /// The keys in the order in which the hand passes them.
        var ring: [Key] = []
        var hand = 0
        var byteCount = 0
    }

    private let state = Mutex(State())
    private let byteCountMax: Int

    init(byteCountMax: Int = 16 << 20) { self.byteCountMax = byteCountMax }

    /// Bytes of the leaves that are kept.
    var byteCount: Int { state.withLock { $0.byteCount } }

    /// The decoded payload of a leaf, when it is there.
    func payload(_ key: Key) -> [UInt8]? {
        state.withLock { state in
            guard let index = state.entries.index(forKey: key) else { return nil }
            state.entries.values[index].isUsed = true
            return state.entries.values[index].payload
        }
    }

    /// Keeps the decoded payload of a leaf.
    func keep(_ payload: [UInt8], _ key: Key) {
        guard payload.count <= byteCountMax / 8 else { return }
        state.withLock { state in
            guard state.entries[key] == nil else { return }
            while state.byteCount + payload.count > byteCountMax { Self.dropOne(&state) }
            state.entries[key] = Entry(payload: payload)
            state.ring.append(key)
            state.byteCount += payload.count
        }
    }

    private static func dropOne(_ state: inout State) {
        guard !state.ring.isEmpty else { return }
        while true {
            if state.hand >= state.ring.count { state.hand = 0 }
            let key = state.ring[state.hand]
            if state.entries[key]?.isUsed == true {
                state.entries[key]?.isUsed = false
                state.hand += 1
                continue
            }
            state.byteCount -= state.entries.removeValue(forKey: key)?.payload.count ?? 0
            // The last one takes its place: the order need not be exact.
            state.ring.swapAt(state.hand, state.ring.count - 1)
            state.ring.removeLast()
            return
        }
    }
}
