internal import LoomFormat
internal import LoomModel
public import LoomRunner

/// What any implementation of `RunStore` must do: runs it and tells every promise that is broken.
///
/// ```swift
/// let broken = await RunStoreConformance { MemoryRunStore() }.run()
/// #expect(broken == [])
/// ```
public struct RunStoreConformance: Sendable {
    private let make: @Sendable () async throws -> any RunStore

    /// Creates a suite; `make` gives a store of its own, empty, for each check.
    public init(_ make: @escaping @Sendable () async throws -> any RunStore) { self.make = make }

    /// Runs every check; returns the promises that are broken, in words.
    public func run() async -> [String] {
        var broken: [String] = []
        let checks: [(String, (any RunStore, RunID) async throws -> Bool)] = [
            ("a claim of an unknown run begins at position 0, epoch 1", Self.firstClaim),
            ("events come back in order, with their positions and epochs", Self.order),
            ("reading begins at the position asked for", Self.readFrom),
            ("a held run is refused, with the holder's words", Self.held),
            ("a released run is claimed with a higher epoch, where it stood", Self.epochs),
            ("an older epoch is fenced and appends nothing", Self.fence),
            ("a position that was passed, or is not reached, is fenced", Self.positions),
            ("an append without a claim is fenced", Self.unclaimed),
            ("runs do not see each other", Self.isolation),
            ("a release by an older epoch does nothing", Self.staleRelease),
            ("a unit is there whole or not at all", Self.atomicity),
        ]
        for (promise, check) in checks {
            do {
                let isKept = try await check(try await make(), RunID("demo"))
                if !isKept { broken.append(promise) }
            } catch {
                broken.append("\(promise): \(error)")
            }
        }
        return broken
    }

    private static func event(_ number: UInt64) -> RunEvent {
        RunEvent(time: EventTime(microseconds: number), .retried)
    }

    private static func append(
        _ store: any RunStore, _ run: RunID, _ claim: RunClaim, at position: UInt64, count: Int = 1
    ) async throws -> AppendAnswer {
        var unit = RecordUnit(
            run: run, epoch: claim.epoch, position: position, isBarrier: true)
        for index in 0..<count { unit.append(event(position + UInt64(index)).encoded()) }
        return try await store.commit(unit)
    }

    private static func read(
        _ store: any RunStore, _ run: RunID, from position: UInt64 = 0
    ) async throws -> [RunFold.Place] {
        var places: [RunFold.Place] = []
        try await store.read(run, from: position) { event, place in
            guard event?.time.microseconds == place.position else {
                throw RunStoreError.corrupt("another event at \(place.position)")
            }
            places.append(place)
        }
        return places
    }

    private static func firstClaim(_ store: any RunStore, _ run: RunID) async throws -> Bool {
        try await store.claim(run, holder: "a") == RunClaim(epoch: 1, position: 0)
    }

    private static func order(_ store: any RunStore, _ run: RunID) async throws -> Bool {
        let claim = try await store.claim(run, holder: "a")
        for position in stride(from: UInt64(0), to: 30, by: 3) {
            guard try await append(store, run, claim, at: position, count: 3) == .ok else {
                return false
            }
        }
        let expected = (0..<30).map { RunFold.Place(position: $0, epoch: claim.epoch) }
        return try await read(store, run) == expected
    }

    private static func readFrom(_ store: any RunStore, _ run: RunID) async throws -> Bool {
        let claim = try await store.claim(run, holder: "a")
        _ = try await append(store, run, claim, at: 0, count: 5)
        let (some, none) = (
            try await read(store, run, from: 3), try await read(store, run, from: 5)
        )
        return some.map(\.position) == [3, 4] && none == []
    }

    private static func held(_ store: any RunStore, _ run: RunID) async throws -> Bool {
        _ = try await store.claim(run, holder: "the first")
        do {
            _ = try await store.claim(run, holder: "the second")
            return false
        } catch {
            return error == .held(run: run, by: "the first")
        }
    }

    private static func epochs(_ store: any RunStore, _ run: RunID) async throws -> Bool {
        let first = try await store.claim(run, holder: "a")
        _ = try await append(store, run, first, at: 0, count: 2)
        await store.release(run, epoch: first.epoch)
        let second = try await store.claim(run, holder: "b")
        guard second.epoch > first.epoch, second.position == 2 else { return false }
        guard try await append(store, run, second, at: 2) == .ok else { return false }
        return try await read(store, run).map(\.epoch) == [first.epoch, first.epoch, second.epoch]
    }

    private static func fence(_ store: any RunStore, _ run: RunID) async throws -> Bool {
        let first = try await store.claim(run, holder: "a")
        await store.release(run, epoch: first.epoch)
        _ = try await store.claim(run, holder: "b")
        let answer = try await append(store, run, first, at: 0)
        let events = try await read(store, run)
        return answer == .fenced && events == []
    }

    private static func positions(_ store: any RunStore, _ run: RunID) async throws -> Bool {
        let claim = try await store.claim(run, holder: "a")
        _ = try await append(store, run, claim, at: 0, count: 2)
        for position in [UInt64(0), 1, 3, 100] {
            guard try await append(store, run, claim, at: position) == .fenced else { return false }
        }
        return try await read(store, run).count == 2
    }

    private static func unclaimed(_ store: any RunStore, _ run: RunID) async throws -> Bool {
        let claim = try await store.claim(run, holder: "a")
        await store.release(run, epoch: claim.epoch)
        return try await append(store, run, claim, at: 0) == .fenced
    }

    private static func isolation(_ store: any RunStore, _ run: RunID) async throws -> Bool {
        let other = try RunID("other")
        let claim = try await store.claim(run, holder: "a")
        let second = try await store.claim(other, holder: "a")
        _ = try await append(store, run, claim, at: 0, count: 3)
        guard try await append(store, other, second, at: 0) == .ok else { return false }
        let counts = [try await read(store, run).count, try await read(store, other).count]
        return counts == [3, 1]
    }

    private static func staleRelease(_ store: any RunStore, _ run: RunID) async throws -> Bool {
        let first = try await store.claim(run, holder: "a")
        await store.release(run, epoch: first.epoch)
        let second = try await store.claim(run, holder: "b")
        await store.release(run, epoch: first.epoch)
        return try await append(store, run, second, at: 0) == .ok
    }

    private static func atomicity(_ store: any RunStore, _ run: RunID) async throws -> Bool {
        let claim = try await store.claim(run, holder: "a")
        _ = try await append(store, run, claim, at: 0, count: 4)
        guard try await append(store, run, claim, at: 2, count: 4) == .fenced else { return false }
        return try await read(store, run).count == 4
    }
}
