import LoomFormat
import LoomInspect
import LoomLog
import LoomModel
import LoomStorage
import SystemPackage
import Testing

/// Reader, writer and dump on forged ends: what a newer version, a bug or a hostile hand may leave.
@Suite struct EndTests {
    /// The code that all three give a log, or what they disagree in.
    private func verdict(_ storage: SimulatedStorage, events: Int) -> String {
        var codes: [String] = []
        var (count, dumped) = (0, 0)
        do {
            try LogReader(path: DamagedStore.path, storage: storage).scan { _ in count += 1 }
            codes.append(count == events ? "ok" : "\(count) events")
        } catch {
            codes.append((error as? LogError)?.code.description ?? "\(error)")
        }
        var dump = LogDump(path: DamagedStore.path, storage: storage) { line in
            if case .object(let fields) = line, fields["type"] == .string("event") { dumped += 1 }
        }
        do throws(LogDump.Refusal) {
            try dump.run()
            codes.append(dumped == events ? "ok" : "\(dumped) events")
        } catch {
            codes.append(error.code == "unsupported" ? "unsupportedVersion" : error.code)
        }
        do throws(LogError) {
            try LogWriter(
                path: DamagedStore.path, options: DamagedStore.options, storage: storage
            ).close()
            codes.append("ok")
        } catch {
            codes.append(error.code.description)
        }
        return Set(codes).count == 1 ? codes[0] : codes.joined(separator: ", ")
    }

    @Test("a log without anything forged", arguments: DamagedStore.MarkState.allCases)
    func plain(mark: DamagedStore.MarkState) throws {
        let log = try ForgedEnd(mark: mark)
        #expect(verdict(log.storage, events: log.eventCount) == "ok")
    }

    /// The writer called it corrupt, and a reader without MARK took it for the end.
    @Test("a block of an unknown kind, codec or flag is of a newer version", arguments: [4, 5, 7])
    func newerBlock(field: Int) throws {
        let log = try ForgedEnd()
        try log.lay([1, 2, 3]) { $0[field] = 0x40 }
        #expect(verdict(log.storage, events: log.eventCount) == "unsupportedVersion")
    }

    /// Records were checked by readers and not by the writer, which went on behind them.
    @Test(
        "a unit that breaks section 6 is corrupt although its hashes hold",
        arguments: [
            [0, 1, 9], [3, 1, 0x41], [2, 3, 9, 1, 0, 3, 1, 0x41], [3, 9, 0x41],
            [1, 3, 9, 0xFF, 0xFE, 2, 3, 9, 1, 0, 3, 1, 0x41],
            [1, 2, 9, 7, 2, 3, 9, 1, 0, 3, 1, 0x41],
            [1, 2, 9, 0x41, 2, 3, 9, 1, 0, 3, 1, 0x41, 3, 1, 0x41],
        ] as [[UInt8]])
    func malformedUnit(payload: [UInt8]) throws {
        let log = try ForgedEnd()
        try log.lay(payload)
        #expect(verdict(log.storage, events: log.eventCount) == "corrupt")
    }

    @Test("a unit with unknown tags and longer contexts is read")
    func extendedUnit() throws {
        let log = try ForgedEnd()
        try log.lay([9, 1, 0, 1, 2, 9, 0x41, 2, 5, 9, 1, 0, 7, 7, 3, 1, 0x41])
        #expect(verdict(log.storage, events: log.eventCount + 1) == "ok")
    }

    /// Only headers that this version accepts were counted as witnesses.
    @Test("a header of a newer version behind the end vouches like any other")
    func newerWitness() throws {
        let log = try ForgedEnd()
        try log.lay([1], gap: 4096, durableUpTo: UInt32(log.end + 8)) { $0[4] = 99 }
        #expect(verdict(log.storage, events: log.eventCount) == "corrupt")
        let harmless = try ForgedEnd()
        try harmless.lay([1], gap: 4096, durableUpTo: UInt32(harmless.end)) { $0[4] = 99 }
        #expect(verdict(harmless.storage, events: harmless.eventCount) == "ok")
    }

    @Test(
        "a mark with a payload, a seal that counts wrongly, blocks behind a seal are out of place")
    func marks() throws {
        for (kind, payload) in [
            (BlockKind.syncMark, [1]), (.close, [1]), (.seal, []),
            (.seal, [UInt8](repeating: 1, count: 24)),
        ] as [(BlockKind, [UInt8])] {
            let log = try ForgedEnd()
            let gap = log.end.roundedUp(to: 4096) - log.end
            if gap > 0 {
                try log.lay(
                    [UInt8](repeating: 0, count: gap - 64), kind: .filler, eventCount: 0)
            }
            let storage = log.storage
            let again = try ForgedEnd(behind: storage, eventCount: log.eventCount)
            try again.lay(payload, kind: kind, eventCount: 0)
            #expect(verdict(storage, events: log.eventCount) == "corrupt", "\(kind) \(payload)")
        }
    }

    @Test("blocks of archives are out of place in a live segment")
    func archiveBlocks() throws {
        for kind in [BlockKind.table, .directory] {
            let log = try ForgedEnd()
            try log.lay([1, 1, 1], kind: kind, eventCount: 0)
            #expect(verdict(log.storage, events: log.eventCount) == "corrupt", "\(kind)")
        }
    }

    /// Writes a further generation of the manifest.
    private func edit(
        _ store: DamagedStore, _ change: (inout Manifest) -> Void
    ) throws -> Manifest {
        let generation = try #require(
            store.files.keys.compactMap(FileName.manifestGeneration).max())
        let bytes = try #require(store.files[FileName.manifest(generation)])
        var (manifest, hash, _) = try Manifest.decodeFile(bytes.rawSpan, generation: generation)
        (manifest.generation, manifest.previousHash) = (generation + 1, hash)
        change(&manifest)
        let place = DamagedStore.place(FileName.manifest(manifest.generation))
        let file = try store.storage.create(place)
        defer { try? file.close() }
        try file.writeBytes(manifest.encodedFile().bytes, at: 0)
        return manifest
    }

    @Test("a log whose archive is not there is refused, not read without it")
    func archive() throws {
        let store = try DamagedStore(.closed, .gone)
        _ = try edit(store) { $0.segments[0].role = .archive }
        #expect(verdict(store.storage, events: store.eventCount) == "corrupt")
    }

    @Test("a file that is superseded is no sign of a lost manifest")
    func superseded() throws {
        for isNamed in [true, false] {
            let store = try DamagedStore(.closed, .gone)
            let manifest = try edit(store) { manifest in
                let old = SupersededSegment(
                    segmentID: manifest.nextSegmentID, generation: manifest.generation, role: .live)
                manifest.nextSegmentID += 1
                if isNamed { manifest.superseded = [old] }
            }
            let name = "\(FileName.segments)/\(FileName.segment(manifest.nextSegmentID - 1))"
            let file = try store.storage.create(DamagedStore.place(name))
            defer { try? file.close() }
            try file.writeBytes([UInt8](repeating: 1, count: 4096), at: 0)
            #expect(
                verdict(store.storage, events: store.eventCount) == (isNamed ? "ok" : "corrupt"))
        }
    }

    /// A refusal named a place and nothing else; people ask which runs it concerns.
    @Test("a refusal names file, offset and the runs whose events stand behind the damage")
    func refusalNamesRuns() throws {
        let store = try DamagedStore(.closed, .gone)
        let name = try #require(
            store.files.keys.filter { $0.hasPrefix(FileName.segments) }.max())
        let file = try store.storage.open(DamagedStore.place(name), for: .writing)
        try file.writeBytes([0xFF], at: 128 + 70)
        let error = #expect(throws: LogError.self) {
            try LogReader(path: DamagedStore.path, storage: store.storage).scan { _ in }
        }
        #expect(error?.path == DamagedStore.place(name) && error?.offset == 128)
        #expect(
            error?.message.contains("delta") == true && error?.message.contains("omega") == true)
    }
}
