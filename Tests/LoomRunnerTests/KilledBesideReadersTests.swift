import Foundation
import LoomFormat
import LoomLog
import LoomModel
import LoomRuns
import SystemPackage
import Testing

/// A process that drives a run in small segments, which its archiver archives and merges, killed
/// again and again while readers stay attached. LOOMLOG_KILLS=200 kills it as often.
@Suite(.timeLimit(.minutes(20))) struct KilledBesideReadersTests {
    private static let kills =
        Int(ProcessInfo.processInfo.environment["LOOMLOG_KILLS"] ?? "") ?? 8

    /// Readers that were opened once, and what they have seen.
    private struct Attached {
        let reader: RunReader
        var cursor: LogCursor
        var nextSequence: UInt64 = 1
        var stepIndex: UInt64 = 0

        mutating func read(_ run: RunID) throws {
            while let unit = try cursor.nextUnit() {
                for event in unit {
                    #expect(event.sequence == nextSequence)
                    nextSequence = event.sequence + 1
                }
            }
            let summary = try reader.get(run).summary
            #expect(summary.stepIndex >= stepIndex)
            stepIndex = summary.stepIndex
            // A page from the middle, whose segment is archived or merged by then.
            let middle = Int(stepIndex / 2)
            let page = try reader.history(run, limit: 5, offset: middle)
            #expect(page.count >= min(5, Int(stepIndex) - middle))
            #expect(try reader.list().map(\.run) == [run])
        }
    }

    @Test("readers that stay attached over kills are refused nothing and miss nothing")
    func attached() async throws {
        let folder = try LoopFolder()
        var attached: Attached?
        for kill in 0..<Self.kills {
            let process = try await folder.start(
                steps: 1_000_000, Durability.allCases[kill % 3], "full", ["--work", "0"])
            let until = ContinuousClock.now + .milliseconds(Int.random(in: 300...1_500))
            while ContinuousClock.now < until || attached == nil {
                if attached == nil, let reader = try folder.reader() {
                    let cursor = try LogReader(path: folder.log).cursor()
                    attached = Attached(reader: reader, cursor: cursor)
                }
                try attached?.read(folder.run)
                try await Task.sleep(for: .milliseconds(10))
            }
            process.kill()
            let ending = try await process.end()
            #expect(ending.isKilled, "\(ending.errors)")
            try attached?.read(folder.run)
            // Whoever comes anew finds every file that is listed, and as many events.
            var count: UInt64 = 0
            try LogReader(path: folder.log).scan { _ in count += 1 }
            #expect(count + 1 == attached?.nextSequence)
        }
        let overview = try LogReader(path: folder.log).overview()
        #expect(overview.archiveCount > 0)
        print(
            "killed \(Self.kills) times beside readers: \(attached?.nextSequence ?? 0) events,",
            "\(overview.archiveCount) archives of \(overview.segmentCount) segments")
    }
}
