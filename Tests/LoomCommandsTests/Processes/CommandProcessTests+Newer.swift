import Foundation
import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomTesting
import SystemPackage
import Testing

/// The command before what a later version wrote.
extension CommandProcessTests {
    /// Says what it is and what to do, with 65, and never that anything is damaged.
    private func expectNewer(_ said: CommandFolder.Said) {
        #expect(said.status == 65 && said.isOneError, said.words)
        #expect(said.errors.contains("version"), said.words)
        #expect(said.errors.contains("the version of loomlog that wrote it"), said.words)
        #expect(!said.errors.contains("damage"), said.words)
    }

    /// It was damaged, and `loomlog dump` was to show how.
    @Test("a run of a later version: told by every command, and listed as such")
    func newerRun() async throws {
        let made = try await folder.call("counter-agent", ["run", "demo", "--max-steps", "2"])
        #expect(made.status == 0, made.words)
        let store = try LogRunStore(path: folder.log)
        let run = try RunID("demo")
        let claim = try await store.claim(run, holder: store.writer)
        var unit = RecordUnit(run: run, epoch: claim.epoch, position: claim.position)
        unit.append([10, 1, 99])  // a pause for a reason that is not known
        #expect(try await store.commit(unit) == .ok)
        await store.release(run, epoch: claim.epoch)
        try store.close()
        for read in ["get", "history", "attempts", "tool-calls", "explain", "stats", "verify"] {
            expectNewer(try await folder.call("loomlog", [read, "demo"]))
        }
        expectNewer(try await folder.call("loomlog", ["cancel", "demo"]))
        expectNewer(try await folder.call("counter-agent", ["resume", "demo"]))
        let list = try await folder.call("loomlog", ["list", "--status", "newer_version"])
        #expect(list.status == 0 && list.output.contains("demo  newer_version"), list.words)
    }

    /// It was an unreadable disk, with 74: "check the disk and its permissions, then resume".
    @Test("a segment of a later version before the last one")
    func newerSegment() async throws {
        var options = LogOptions()
        (options.firstSegmentBytes, options.segmentBytesMax) = (64 << 10, 64 << 10)
        let store = try LogRunStore(path: folder.log, options: options)
        let run = try RunID("demo")
        let claim = try await store.claim(run, holder: store.writer)
        for position in 0..<40 as Range<UInt64> {
            var unit = RecordUnit(run: run, epoch: claim.epoch, position: position)
            // Kinds of a later version, too large for one segment.
            unit.append([99, 1] + (0..<4096).map { _ in UInt8.random(in: 0...255) })
            #expect(try await store.commit(unit) == .ok)
        }
        try store.close()
        let segments = folder.log.appending("seg")
        let names = try FileManager.default.contentsOfDirectory(atPath: segments.string).sorted()
        try #require(names.count > 1)
        let file = try FileHandle(
            forUpdating: URL(filePath: segments.appending(names[0]).string))
        try file.seek(toOffset: 8)
        try file.write(contentsOf: Data([9]))
        try file.close()
        expectNewer(try await folder.call("loomlog", ["get", "demo"]))
        expectNewer(try await folder.call("loomlog", ["cancel", "demo"]))
        expectNewer(try await folder.call("counter-agent", ["run", "another"]))
    }
}
