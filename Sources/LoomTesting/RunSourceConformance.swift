internal import LoomFormat
internal import LoomModel
public import LoomRunner
public import LoomRuns

/// What any implementation of `RunSource` must do: writes runs through a store and reads them
/// through it, and tells every promise that is broken.
///
/// ```swift
/// let broken = await RunSourceConformance { MemoryRunStore() }.run()
/// #expect(broken == [])
/// ```
public struct RunSourceConformance: Sendable {
    private let make: @Sendable () async throws -> any RunStore
    private let reopen: @Sendable (any RunStore) async throws -> any RunSource

    /// Creates a suite.
    ///
    /// - Parameters:
    ///   - reopen: Gives the source that reads what a store holds: the store itself, or one of
    ///     another process.
    ///   - make: Gives a store of its own, empty, for each check.
    public init(
        reopen: @escaping @Sendable (any RunStore) async throws -> any RunSource = { $0 },
        _ make: @escaping @Sendable () async throws -> any RunStore
    ) {
        self.make = make
        self.reopen = reopen
    }

    /// Runs every check; returns the promises that are broken, in words.
    public func run() async -> [String] {
        var broken: [String] = []
        let checks: [(String, (SourceScript) async throws -> Bool)] = [
            ("a run that is not there has no row", Self.absent),
            ("a run that was claimed and has no event has no row", Self.claimed),
            ("the newest row is the fold of all events", Self.newest),
            ("a row says who holds its run, and that nobody does", Self.holder),
            ("rows come in order of the bytes of their names, by prefix", Self.order),
            ("events of a part come whole, in order, and no others", Self.parts),
            ("events of several parts come in one read", Self.several),
            ("a place is not behind its row, and counts what is before it", Self.places),
            ("calls of a key come newest first, by the bytes of the key", Self.calls),
            ("a tail tells events in the order in which they came", Self.tail),
            ("a tail of the last events tells those, stops once, and goes on", Self.lastEvents),
        ]
        for (promise, check) in checks {
            do {
                let script = SourceScript(try await make(), reopen)
                if try await !check(script) { broken.append(promise) }
            } catch {
                broken.append("\(promise): \(error)")
            }
        }
        return broken
    }

    private static func absent(_ script: SourceScript) async throws -> Bool {
        let source = try await script.source()
        let other = try RunID("other")
        _ = try await script.write("demo", steps: 2)
        return try source.row(of: other) == nil
            && script.read(source, [RunPart(other)]).isEmpty
    }

    private static func claimed(_ script: SourceScript) async throws -> Bool {
        let run = try RunID("demo")
        _ = try await script.store.claim(run, holder: script.store.writer)
        let source = try await script.source()
        return try source.row(of: run) == nil && script.names(source, prefix: "").isEmpty
    }

    private static func newest(_ script: SourceScript) async throws -> Bool {
        let source = try await script.source()
        for steps in [0, 1, 5, 40] {
            let name = "run \(steps)"
            let outline = try await script.write(name, steps: steps, calls: true)
            guard try source.row(of: RunID(name))?.outline == outline else { return false }
            // The same by way of its bytes.
            let decoded = try RunOutline(decoding: outline.encoded().rawSpan)
            guard decoded == outline else { return false }
        }
        return true
    }

    private static func holder(_ script: SourceScript) async throws -> Bool {
        let run = try RunID("demo")
        let source = try await script.source()
        let claim = try await script.begin(run)
        guard let held = try source.row(of: run),
            held.holder?.contains(script.store.writer) == true,
            !held.isAbandoned
        else { return false }
        try await script.pause(run)
        await script.store.release(run, epoch: claim.epoch)
        guard let free = try source.row(of: run) else { return false }
        return free.holder == nil && !free.isAbandoned
    }

    private static func order(_ script: SourceScript) async throws -> Bool {
        // By UTF-8 bytes: `e` with a combining accent comes before `é`, and both are there.
        let names = ["b", "a", "ab", "e\u{301}", "\u{e9}", "a b", "\u{1F600}", "B"]
        for name in names { _ = try await script.write(name, steps: 1) }
        let source = try await script.source()
        func sorted(_ names: [String]) -> [[UInt8]] {
            names.map { Array($0.utf8) }.sorted { $0.lexicographicallyPrecedes($1) }
        }
        return try script.names(source, prefix: "") == sorted(names)
            && script.names(source, prefix: "a") == sorted(["a", "ab", "a b"])
            && script.names(source, prefix: "e") == sorted(["e\u{301}"])
            && script.names(source, prefix: "none").isEmpty
    }

    private static func parts(_ script: SourceScript) async throws -> Bool {
        let outline = try await script.write("demo", steps: 20)
        _ = try await script.write("other", steps: 20)
        let (source, run, count) = (
            try await script.source(), try RunID("demo"), outline.summary.nextPosition
        )
        for (first, end) in [
            (0, count), (3, 7), (7, 7), (count - 1, count), (count, .max), (5, .max),
        ] {
            let found = try script.read(source, [RunPart(run, from: first, before: end)])
            let expected = script.written("demo").filter {
                $0.place.position >= first && $0.place.position < end
            }
            guard found.map(\.place) == expected.map(\.place),
                found.map(\.body) == expected.map(\.body), found.allSatisfy({ $0.run == run })
            else { return false }
        }
        return true
    }

    private static func several(_ script: SourceScript) async throws -> Bool {
        for name in ["a", "b", "c"] { _ = try await script.write(name, steps: 10) }
        let source = try await script.source()
        let parts = [
            RunPart(try RunID("c"), from: 2, before: 9),
            RunPart(try RunID("a"), from: 4, before: 5),
            RunPart(try RunID("none")),
        ]
        let found = try script.read(source, parts)
        let ofC = found.filter { $0.run.rawValue.hasSameBytes(as: "c") }.map(\.place.position)
        let ofA = found.filter { $0.run.rawValue.hasSameBytes(as: "a") }.map(\.place.position)
        return found.count == 8 && ofC == Array(2..<9) && ofA == [4]
    }

    private static func places(_ script: SourceScript) async throws -> Bool {
        _ = try await script.write("demo", steps: 30, calls: true)
        let (source, run) = (try await script.source(), try RunID("demo"))
        let all = script.written("demo")
        for kind in RowKind.allCases {
            let begins = try SourceScript.starts(of: kind, in: all)
            for (number, position) in begins.enumerated() {
                let place = try source.place(ofRow: UInt64(number), of: kind, in: run)
                guard place.position <= position else { return false }
                for other in RowKind.allCases {
                    let before = try SourceScript.starts(of: other, in: all).filter {
                        $0 < place.position
                    }
                    guard place.counts[other] ?? 0 == UInt64(before.count) else { return false }
                }
            }
        }
        return true
    }

    private static func calls(_ script: SourceScript) async throws -> Bool {
        _ = try await script.write("demo", steps: 12, calls: true)
        let (source, run) = (try await script.source(), try RunID("demo"))
        let keys: [ToolKey] = [
            .explicit("caf\u{e9}"), .explicit("cafe\u{301}"), .explicit("none"), .occurrence(0),
        ]
        for key in keys {
            let expected = try script.written("demo").filter {
                guard case .toolStarted(let start)? = try $0.event()?.content else { return false }
                return start.key == key
            }.map(\.place.position)
            guard try source.calls(of: key, in: run).map(\.start) == expected.reversed() else {
                return false
            }
        }
        return true
    }

    private static func tail(_ script: SourceScript) async throws -> Bool {
        let source = try await script.source()
        _ = try await script.write("a", steps: 3)
        var all = try source.tail(of: nil, last: nil)
        var ofB = try source.tail(of: RunID("b"), last: nil)
        _ = try script.drain(&all)
        _ = try await script.write("b", steps: 2)
        let rest = try script.drain(&all)
        let sequences = rest.map(\.sequence)
        return try rest.map(\.event.place) == script.written("b").map(\.place)
            && zip(sequences, sequences.dropFirst()).allSatisfy { $0 + 1 == $1 }
            && script.drain(&ofB).map(\.event.body) == script.written("b").map(\.body)
    }

    private static func lastEvents(_ script: SourceScript) async throws -> Bool {
        _ = try await script.write("a", steps: 3)
        _ = try await script.write("b", steps: 3)
        let source = try await script.source()
        do {
            _ = try source.tail(of: RunID("none"), last: 1)
            return false
        } catch RunReadError.unknownRun {}
        for count in [0, 1, 4, 100] {
            var last = try source.tail(of: RunID("a"), last: count)
            let told = try script.drain(&last).map(\.event.place)
            guard told == script.written("a").suffix(count).map(\.place) else { return false }
        }
        var last = try source.tail(of: nil, last: 2)
        guard try script.drain(&last).count == 2 else { return false }
        _ = try await script.write("c", steps: 1)
        return try script.drain(&last).map(\.event.body) == script.written("c").map(\.body)
    }
}
