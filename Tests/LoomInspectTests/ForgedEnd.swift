import LoomFormat
import LoomLog
import LoomStorage
import LoomTesting
import SystemPackage

/// A log whose active segment was left by a kill, open for forging: what is laid behind its end has
/// good hashes and a chain that goes on.
final class ForgedEnd {
    let storage: SimulatedStorage
    let eventCount: Int
    private let file: any StorageFile
    private var parser: BlockParser
    private let salt: UInt64

    /// - Parameter mark: What MARK is worth where the log is looked at.
    convenience init(mark: DamagedStore.MarkState = .gone) throws {
        let store = try DamagedStore(.killed, mark)
        try self.init(behind: store.storage, eventCount: store.eventCount)
    }

    /// Goes on behind the present end of a log.
    init(behind storage: SimulatedStorage, eventCount: Int) throws {
        self.storage = storage
        self.eventCount = eventCount
        let files = try DamagedStore.read(storage)
        let name = files.keys.filter { $0.hasPrefix(FileName.segments) }.max() ?? ""
        file = try storage.open(DamagedStore.place(name), for: .writing)
        let bytes = files[name] ?? []
        let (header, hash) = try SegmentHeader.decode(bytes.rawSpan)
        salt = header.salt
        parser = BlockParser(
            salt: salt, offset: SegmentHeader.byteCount, previousHash: hash,
            nextSequence: header.firstSequence)
        while case .block = parser.next(in: bytes.rawSpan.extracting(droppingFirst: parser.offset))
        {}
    }

    deinit { try? file.close() }

    /// Where the log ends.
    var end: Int { parser.offset }

    /// Lays a block of `payload` behind the end, or `gap` bytes behind it; `change` may alter any
    /// byte of its header, whose hash is then made good again.
    func lay(
        _ payload: [UInt8], kind: BlockKind = .events, eventCount: UInt32 = 1, gap: Int = 0,
        durableUpTo: UInt32 = 0, change: (inout [UInt8]) -> Void = { _ in }
    ) throws {
        let fields = BlockEncoder.Fields(
            kind: kind, firstSequence: parser.nextSequence, eventCount: eventCount,
            durableUpTo: durableUpTo, previousHash: parser.previousHash)
        let offset = parser.offset + gap
        let seed = BlockHeader.seed(salt: salt, offset: offset)
        var block = [UInt8](
            repeating: 0, count: BlockEncoder.byteCountMax(rawCount: payload.count))
        let written = payload.withUnsafeBytes { payload in
            block.withUnsafeMutableBytes {
                BlockEncoder.encode(
                    fields, payload: payload, seed: seed, compress: false, into: $0)
            }
        }
        change(&block)
        let hash = BlockHash.hash(block.rawSpan.extracting(first: 56), seed: seed)
        for index in 0..<8 { block[56 + index] = UInt8(truncatingIfNeeded: hash >> (8 * index)) }
        try file.writeBytes(Array(block.prefix(written.byteCount)), at: offset)
    }
}
