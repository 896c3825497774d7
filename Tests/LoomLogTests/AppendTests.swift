import LoomFormat
import LoomLog
import LoomStorage
import SystemPackage
import Testing

@Suite struct AppendTests {
    @Test("what is appended is read back, in order, in every mode", arguments: Durability.allCases)
    func appendAndRead(durability: Durability) throws {
        let folder = try TemporaryFolder()
        let writer = try LogWriter(path: folder.log, options: LogOptions(durability: durability))
        #expect(writer.recovery.ending == .created)
        for number in 0..<100 { try writer.commit(.numbered(number)) }
        let events = try readAll(folder.log)
        #expect(events.map(\.sequence) == Array(1...100))
        #expect(events.map(\.body) == (0..<100).map { RecordUnit.body($0) })
        try writer.close()
        #expect(try readAll(folder.log) == events)
    }

    @Test("a closed log is reopened in place and goes on")
    func reopen() throws {
        let folder = try TemporaryFolder()
        for round in 0..<5 {
            let writer = try LogWriter(path: folder.log)
            #expect(writer.recovery.ending == (round == 0 ? .created : .clean))
            for number in 0..<10 { try writer.append(.numbered(round * 10 + number)) }
            try writer.close()
        }
        let events = try readAll(folder.log)
        #expect(events.map(\.position) == Array(0..<50))
        #expect(Set(events.map(\.segmentID)) == [1])
    }

    @Test("segments roll, double in size, and lose nothing")
    func roll() throws {
        let folder = try TemporaryFolder()
        var options = LogOptions(durability: .off)
        options.firstSegmentBytes = 128 << 10
        options.segmentBytesMax = 512 << 10
        let writer = try LogWriter(path: folder.log, options: options)
        for number in 0..<3000 { try writer.append(.numbered(number, size: 700)) }
        let whileOpen = try readAll(folder.log)
        #expect(whileOpen.count == 3000)
        try writer.close()
        let events = try readAll(folder.log)
        #expect(events.map(\.position) == Array(0..<3000))
        #expect(Set(events.map(\.segmentID)).count >= 4)
    }

    @Test("a unit above one block is whole or not there, also above one segment")
    func largeUnit() throws {
        let folder = try TemporaryFolder()
        let writer = try LogWriter(path: folder.log)
        let page = (0..<4096).map { UInt8(truncatingIfNeeded: $0 &* $0 >> 3) }
        let noise = Array([[UInt8]](repeating: page, count: 2304).joined())
        var unit = RecordUnit(run: try RunID("big"), epoch: 1, position: 0)
        unit.append([1])
        unit.append(noise)
        try writer.append(unit)
        try writer.append(.numbered(1))
        try writer.close()
        let events = try readAll(folder.log)
        #expect(events.count == 3)
        #expect(events[1].body == noise)
    }

    @Test("a writer that went away without closing is recovered into a new segment")
    func abandon() throws {
        let folder = try TemporaryFolder()
        do {
            let writer = try LogWriter(path: folder.log, options: LogOptions(durability: .off))
            for number in 0..<10 { try writer.append(.numbered(number)) }
        }
        let writer = try LogWriter(path: folder.log)
        #expect(writer.recovery.ending == .tornProven)
        #expect(writer.position.nextSequence == 11)
        try writer.append(.numbered(10))
        try writer.close()
        #expect(try readAll(folder.log).map(\.position) == Array(0...10))
    }

    @Test("a second writer is told who has the log")
    func locked() throws {
        let folder = try TemporaryFolder()
        let writer = try LogWriter(path: folder.log)
        let error = #expect(throws: LogError.self) { try LogWriter(path: folder.log) }
        #expect(error?.code == .locked)
        #expect(error?.description.contains("pid ") == true)
        #expect(try LogReader(path: folder.log).writer()?.contains("pid ") == true)
        try writer.close()
        #expect(try LogReader(path: folder.log).writer() == nil)
    }

    @Test("an idle log gets a mark that proves its end")
    func idleMark() throws {
        let folder = try TemporaryFolder()
        var options = LogOptions(durability: .normal)
        options.syncDelayNanoseconds = 5_000_000
        options.idleMarkNanoseconds = 5_000_000
        let writer = try LogWriter(path: folder.log, options: options)
        let appended = try writer.append(.numbered(0))
        #expect(!appended.needsSync)
        for _ in 0..<500 where writer.durablePosition != appended.position {
            POSIXStorage().machine.sleep(nanoseconds: 10_000_000)
        }
        #expect(writer.durablePosition == appended.position)
        try writer.append(.numbered(1))
        try writer.close()
        #expect(try readAll(folder.log).count == 2)
    }
}
