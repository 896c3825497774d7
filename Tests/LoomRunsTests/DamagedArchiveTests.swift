import Foundation
import LoomFormat
import LoomModel
import LoomStorage
import LoomTesting
import SystemPackage
import Testing

@testable import LoomLog
@testable import LoomRuns

/// A damaged archive: its tables cost no answer, its events an error that names the run and its
/// positions. LOOMLOG_HEAVY=1 damages every byte of one of 200 KiB, and every bit for its block's
/// check.
@Suite(.timeLimit(.minutes(60))) struct DamagedArchiveTests {
    private static let isHeavy = ProcessInfo.processInfo.environment["LOOMLOG_HEAVY"] != nil

    /// A log of one archive of several blocks, which is closed.
    private struct Damaged {
        let store: RewrittenStore
        let entry: ManifestSegment
        let file: any StorageFile
        let bytes: [UInt8]
        /// Where the tables begin.
        let tables: Int
        let reader: ArchiveReader

        init(seed: UInt64, isLong: Bool) throws {
            store = try RewrittenStore(seed: seed, isLong: isLong)
            while try store.write() {}
            store.archive(rolls: true)
            try store.mergeAll()
            let manifest = store.manifest
            try store.close()
            entry = try #require(manifest.segments.first)
            #expect(entry.role == .archive)
            let path = LogDirectory(root: "/a.loom").archive(entry.segmentID)
            file = try store.storage.open(path, for: .writing)
            bytes = try file.readBytes(count: Int(entry.validEnd), at: 0)
            let reader = try ArchiveReader(
                file: store.storage.open(path, for: .reading), entry: entry,
                storeID: manifest.storeID)
            tables =
                TableSection.known.filter { reader.directory.leafCount(of: $0) > 0 }
                .map { reader.directory.leaf(0, of: $0).offset }.min() ?? 0
            self.reader = reader
        }

        func flip(_ bit: UInt8, at offset: Int) throws {
            try file.writeBytes([bytes[offset] ^ (1 << bit)], at: offset)
        }

        func restore(_ offset: Int) throws {
            try file.writeBytes([bytes[offset]], at: offset)
        }
    }

    /// Whether an answer says that something is damaged or of a newer version, as flipped bits do.
    private func isDamage(_ answer: Answer) -> Bool {
        guard case .error(let words) = answer else { return false }
        return ["damaged", "refused", "not the archive", "newer", "corrupt", "stands here"]
            .contains { words.contains($0) }
    }

    /// An archive of 200 KiB or more.
    private func large() throws -> Damaged {
        for seed in 3..<100 as Range<UInt64> {
            let damaged = try Damaged(seed: seed, isLong: true)
            if damaged.bytes.count >= 200 << 10 { return damaged }
        }
        throw CancellationError()
    }

    @Test("tables that are damaged anywhere cost no answer; events say what is lost")
    func everyByte() throws {
        let damaged = try Self.isHeavy ? large() : Damaged(seed: 3, isLong: false)
        var queries = RunQueries(
            random: SeededGenerator(5), listed: damaged.store.listed)
        let expected = RunReader(source: damaged.store.listed)
        let asked = queries.all(pages: 1).map { ($0, $0.answer(expected)) }
        #expect(damaged.tables > 4096 && damaged.tables < damaged.bytes.count - 200)
        var (errors, mended) = (0, 0)
        let offsets =
            Array(stride(from: 0, to: damaged.tables, by: Self.isHeavy ? 1 : 997))
            + Array(
                stride(from: damaged.tables, to: damaged.bytes.count, by: Self.isHeavy ? 1 : 61))
        print("damaged archive: \(damaged.bytes.count) bytes, tables from \(damaged.tables) on")
        for offset in offsets {
            try damaged.flip(UInt8(offset % 8), at: offset)
            defer { try? damaged.restore(offset) }
            let reader: RunReader
            do {
                reader = try damaged.store.reader()
            } catch {
                #expect(isDamage(Answer { throw error }), "\(offset): \(error)")
                continue
            }
            // All of them at once would be a thousand reads for each byte.
            for index in 0..<6 {
                let (query, answer) = asked[(offset &* 7 &+ index &* 13) % asked.count]
                let found = query.answer(reader)
                if found == answer { continue }
                errors += 1
                let difference = found.difference(from: answer)
                #expect(
                    offset < damaged.tables && isDamage(found),
                    "\(offset), \(query.name): \(difference)")
            }
            mended += offset >= damaged.tables ? 1 : 0
        }
        #expect(errors > 0 && mended > 10)
    }

    /// Reads of all runs by sequence refused an archive whose tables they do not need, and a writer
    /// could not open a log in which a seal was damaged: not even to make it anew.
    @Test("a tail and a writer need neither tables nor directory nor seal")
    func tailsAndWriters() throws {
        let damaged = try Damaged(seed: 3, isLong: false)
        var queries = RunQueries(random: SeededGenerator(5), listed: damaged.store.listed)
        let expected = RunReader(source: damaged.store.listed)
        let tails = queries.all(pages: 1).filter { $0.name.hasPrefix("tail of all") }
            .map { ($0, $0.answer(expected)) }
        try #require(tails.count > 3)
        let last = damaged.bytes.count - 1
        for offset in Array(stride(from: damaged.tables, to: last, by: 97)) + [last] {
            try damaged.flip(UInt8(offset % 8), at: offset)
            defer { try? damaged.restore(offset) }
            let reader = try damaged.store.reader()
            for (query, answer) in tails {
                #expect(query.answer(reader) == answer, "\(offset), \(query.name)")
            }
        }
        try damaged.flip(1, at: last)
        try damaged.store.reopen()
        damaged.store.archive(rolls: false)
        #expect(damaged.store.manifest.segments.first?.segmentID != damaged.entry.segmentID)
        try damaged.store.close()
        let reader = try damaged.store.reader()
        for (query, answer) in tails { #expect(query.answer(reader) == answer) }
    }

    @Test("damaged events of an archive are told with the run and their positions")
    func names() throws {
        let damaged = try Damaged(seed: 3, isLong: true)
        var told = 0
        var blocks: [(start: Int, runs: [RunID: ClosedRange<UInt64>])] = []
        var walk = damaged.reader.units()
        while let unit = try walk.next() {
            var runs: [RunID: ClosedRange<UInt64>] = [:]
            let events = try ArchiveUnit.events(in: unit.payload.rawSpan, at: unit.offset) { _, _ in
                true
            }
            for event in events {
                let position = event.position
                let old = runs[event.run] ?? position...position
                runs[event.run] =
                    min(old.lowerBound, position)...max(old.upperBound, position)
            }
            blocks.append((unit.offset, runs))
        }
        for (start, runs) in blocks {
            try damaged.flip(3, at: start + BlockHeader.byteCount + 1)
            defer { try? damaged.restore(start + BlockHeader.byteCount + 1) }
            let reader = try damaged.store.reader()
            for (run, positions) in runs {
                do {
                    var events = try reader.source.events([RunPart(run)])
                    while try events.next() != nil {}
                    Issue.record("\(run) was read")
                } catch {
                    // It said "valid" of what its index told.
                    #expect(throws: (any Error).self) { try reader.verify(run) }
                    let words = "\(error)"
                    let place = "run \(run): the events from position \(positions.lowerBound)"
                    let isStray = !words.contains(place)
                    #expect(!isStray || words.contains("run \(run): the events from position"))
                    #expect(words.contains("(offset \(start))"), "\(words)")
                    if words.contains("\(place) up to \(positions.upperBound) are damaged") {
                        told += 1
                    }
                }
            }
        }
        #expect(told > blocks.count / 2)
    }

    @Test("every bit of an archive is seen by the check of its block")
    func everyBit() throws {
        let damaged = try Self.isHeavy ? large() : Damaged(seed: 7, isLong: true)
        var starts: [Int] = []
        var walk = damaged.reader.walk()
        while let (_, offset) = try walk.advance() { starts.append(offset) }
        starts.append(damaged.bytes.count)
        let step = Self.isHeavy ? 1 : 97
        var count = 0
        for (start, end) in zip(starts, starts.dropFirst()) {
            var block = Array(damaged.bytes[start..<end])
            #expect(seen(block, at: start, damaged) == nil)
            for bit in stride(from: 0, to: block.count * 8, by: step) {
                block[bit / 8] ^= 1 << UInt8(bit % 8)
                let problem = seen(block, at: start, damaged)
                #expect(problem != nil, "bit \(bit) of the block at \(start)")
                block[bit / 8] ^= 1 << UInt8(bit % 8)
                count += 1
            }
        }
        #expect(count > 5_000)
    }

    /// Why a block is refused by itself; `nil` when it is not.
    private func seen(_ block: [UInt8], at offset: Int, _ damaged: Damaged) -> FormatError? {
        let seed = BlockHeader.seed(salt: damaged.entry.salt, offset: offset)
        do throws(FormatError) {
            let header = try BlockHeader(decoding: block.rawSpan, seed: seed, in: .archive)
            guard header.totalLength == block.count else { throw .invalid("another length") }
            let stored = block.rawSpan.extracting(BlockHeader.byteCount..<header.totalLength)
            guard BlockHash.hash(stored, seed: seed) == header.payloadHash else {
                throw .hashMismatch("block payload")
            }
            return nil
        } catch {
            return error
        }
    }
}
