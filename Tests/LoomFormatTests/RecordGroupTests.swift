import LoomFormat
import LoomTesting
import Testing

/// Groups of records, against the same records one by one.
@Suite struct RecordGroupTests {
    /// What a payload holds, in order, and how it ends.
    private struct Content: Equatable {
        /// A declaration has its bytes and no other number but its run's.
        struct Record: Equatable {
            var numbers: [UInt64]
            var bytes: [UInt8]
            var head: EventHead?
        }

        var records: [Record] = []
        var failure: FormatError?
    }

    private func oneByOne(_ payload: [UInt8], _ role: SegmentRole) -> Content {
        var (content, reader) = (Content(), RecordReader(payload.rawSpan, in: role))
        do throws(FormatError) {
            while let record = try reader.next() {
                switch record {
                case .declaration(let number, let id):
                    content.records.append(.init(numbers: [number], bytes: [UInt8](copying: id)))
                case .event(let run, let epoch, let position, let body):
                    let sequence = role == .archive ? reader.sequence : 0
                    content.records.append(
                        .init(
                            numbers: [run, epoch, position, sequence],
                            bytes: [UInt8](copying: body), head: EventHead(body)))
                }
            }
        } catch { content.failure = error }
        return content
    }

    private func byGroups(_ payload: [UInt8], _ role: SegmentRole) -> Content {
        var (content, reader) = (Content(), RecordReader(payload.rawSpan, in: role))
        do throws(FormatError) {
            while let record = try reader.nextGroup() {
                switch record {
                case .declaration(let number, let id):
                    content.records.append(.init(numbers: [number], bytes: [UInt8](copying: id)))
                case .events(let group): add(group, payload, role, to: &content)
                }
            }
        } catch { content.failure = error }
        return content
    }

    private func add(
        _ group: RecordGroup, _ payload: [UInt8], _ role: SegmentRole, to content: inout Content
    ) {
        let records = payload.rawSpan.extracting(group.bytes)
        var (events, again) = (GroupEvents(records), GroupEvents(records))
        var (head, count): (EventHead?, UInt64) = (nil, 0)
        while let body = events.next(&head) {
            let bytes = [UInt8](copying: body)
            var same: [UInt8]?
            if let body = again.next() { same = [UInt8](copying: body) }
            #expect(same == bytes)
            if let kind = bytes.first { #expect(group.kinds.mayHold(kind)) }
            content.records.append(
                .init(
                    numbers: [
                        group.run, group.epoch, group.position &+ count,
                        role == .archive ? group.sequence &+ count : 0,
                    ], bytes: bytes, head: head))
            count += 1
        }
        #expect(count == UInt64(group.eventCount))
    }

    /// Records of all tags, well formed; numbers of every size, bodies with a head and without.
    private func payload(_ random: inout SeededGenerator, _ role: SegmentRole) -> [UInt8] {
        func number() -> UInt64 { random.next() >> UInt64.random(in: 0...63, using: &random) }
        var writer = ByteWriter(capacity: 256)
        for _ in 0..<Int.random(in: 1...12, using: &random) {
            var content = ByteWriter(capacity: 64)
            let tag = [1, 2, 2, 3, 3, 3, 3, 3, 9][Int.random(in: 0..<9, using: &random)] as UInt8
            switch tag {
            case 1:
                content.writeVarint(number())
                content.writeBytes(Array("run".utf8))
            case 2: for _ in 0..<(role == .archive ? 4 : 3) { content.writeVarint(number()) }
            default:
                if tag == 3, Bool.random(using: &random) {
                    content.writeUInt8(UInt8.random(in: 0...22, using: &random))
                    for _ in 0..<Int.random(in: 0...4, using: &random) {
                        content.writeVarint(number())
                    }
                }
                for _ in 0..<Int.random(in: 0...9, using: &random) {
                    content.writeUInt8(UInt8(truncatingIfNeeded: random.next()))
                }
            }
            writer.writeUInt8(tag)
            writer.writeLength(content.count)
            writer.writeBytes(content.bytes)
        }
        return writer.bytes
    }

    @Test("groups are the same records, told once for those that follow each other")
    func same() {
        var (random, groups, failures) = (SeededGenerator(71), 0, 0)
        for round in 0..<12_000 {
            let role = round % 2 == 0 ? SegmentRole.live : .archive
            var bytes = payload(&random, role)
            if round % 3 == 0 {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                bytes[place] ^= 1 << UInt8.random(in: 0...7, using: &random)
            }
            if round % 5 == 0 { bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random)) }
            let (a, b) = (oneByOne(bytes, role), byGroups(bytes, role))
            #expect(a == b, "round \(round)")
            groups += a.records.count
            failures += a.failure == nil ? 0 : 1
        }
        #expect(groups > 10_000 && failures > 1000)
    }
}
