import LoomFormat
import LoomModel
import LoomRuns
import LoomStorage
import LoomTesting
import SystemPackage
import Testing

@testable import LoomLog

/// Lists of thousands of runs: what a page leaves out unseen must not be missing in it.
@Suite struct ManyRunsTests {
    private let storage = SimulatedStorage(seed: 5)

    /// A run in the order of creation, and whether it has a label.
    private struct Listed: Hashable {
        let created: UInt64
        let name: String
        let isLabelled: Bool
    }

    private func append(
        _ content: RunEvent.Content, _ name: String, _ position: UInt64, _ time: UInt64,
        to writer: LogWriter
    ) throws {
        var unit = RecordUnit(run: try RunID(name), epoch: 1, position: position)
        unit.append(RunEvent(time: EventTime(microseconds: time), content).encoded())
        try writer.append(unit)
    }

    /// Runs whose names say nothing about their times, some with events in several archives.
    private func write(_ count: Int) throws -> [Listed] {
        var random = SeededGenerator(9)
        var listed: [Listed] = []
        let writer = try LogWriter(
            path: "/a.loom", options: .archivingRuns(segmentBytes: 64 << 10), storage: storage)
        for number in 0..<count {
            let name = "run \(number &* 7919 % 10_007)"
            // Few enough times that many runs share one.
            let created = UInt64.random(in: 1...900, using: &random)
            let creation = RunCreation(loop: "l", policy: .full, state: [0x30])
            try append(.created(creation), name, 0, created, to: writer)
            let isLabelled = number % 3 == 0
            if isLabelled {
                let label = Label(name: "team", value: "infra")
                try append(.labelled([label]), name, 1, created + 1000, to: writer)
            }
            listed.append(Listed(created: created, name: name, isLabelled: isLabelled))
            if number % 200 == 0 { writer.runTimers() }
            // An older run goes on: its row in a newer archive counts.
            if number > 500, number % 5 == 1 {
                let old = listed[number - 500]
                let label = Label(name: "team", value: old.isLabelled ? "core" : "infra")
                let position: UInt64 = old.isLabelled ? 2 : 1
                try append(.labelled([label]), old.name, position, 5000, to: writer)
                listed[number - 500] = Listed(
                    created: old.created, name: old.name, isLabelled: !old.isLabelled)
            }
        }
        try writer.close()
        return listed
    }

    private func pages(_ filter: RunFilter, _ order: RunOrder) throws -> [String] {
        let reader = try RunReader(path: "/a.loom", storage: storage)
        var (names, place): ([String], RunListPlace?) = ([], nil)
        while true {
            var rows = try reader.listRows(filter, limit: 100, order: order, after: place)
            var count = 0
            while let view = try rows.next() {
                names.append(view.run.rawValue)
                place = RunList.place(behind: view, order)
                count += 1
            }
            if count == 0 { return names }
        }
    }

    @Test("pages of thousands of runs, in both orders, with and without a filter")
    func pages() throws {
        let listed = try write(1500)
        let manifest = try ManifestStore(
            directory: LogDirectory(root: "/a.loom"), storage: storage
        ).load().manifest
        #expect(manifest.segments.count { $0.role == .archive } > 2)
        var labelled = RunFilter()
        labelled.labels = [Label(name: "team", value: "infra")]
        for (filter, wanted) in [
            (RunFilter(), listed), (labelled, listed.filter(\.isLabelled)),
        ] {
            let oldest = wanted.sorted { ($0.created, $0.name) < ($1.created, $1.name) }
            #expect(try pages(filter, .created) == oldest.map(\.name))
            let newest = wanted.sorted { (-Int($0.created), $0.name) < (-Int($1.created), $1.name) }
            #expect(try pages(filter, .newest) == newest.map(\.name))
        }
    }

    /// One reader served all runs of a list, and what it had read ahead of a unit that was written
    /// later were zeros: the log was told to be damaged.
    @Test("a list goes on when its runs do")
    func besideAppends() throws {
        let writer = try LogWriter(
            path: "/a.loom", options: .archivingRuns(segmentBytes: 64 << 10), storage: storage)
        let names = ["a", "b", "c"]
        for name in names {
            let creation = RunCreation(loop: "l", policy: .full, state: [0x30])
            try append(.created(creation), name, 0, 1, to: writer)
        }
        let source = try LogRunSource(path: "/a.loom", storage: storage)
        var heads = try source.heads(RunFilter())
        for (number, name) in names.enumerated() {
            #expect(try heads.next()?.run.rawValue == name)
            for name in names {
                let label = Label(name: "team", value: "\(number)")
                try append(.labelled([label]), name, UInt64(number + 1), 2, to: writer)
            }
            let row = try source.row(of: RunID("a"))
            #expect(row?.outline.summary.labels[ByteString("team")] == "\(number)")
        }
        #expect(try heads.next() == nil)
        for name in names {
            let summary = try #require(try source.row(of: RunID(name))).outline.summary
            #expect(summary.nextPosition == 4 && summary.labels[ByteString("team")] == "2")
        }
        try writer.close()
    }
}
