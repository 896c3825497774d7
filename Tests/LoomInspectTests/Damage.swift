import LoomFormat
import LoomStorage
import SystemPackage

/// One thing that went wrong with one file of a copied log.
struct Damage: CustomStringConvertible {
    enum Kind {
        case flip(offset: Int, bit: Int)
        case cut(Int)
        case missing
        /// The file is there once more, under the name that would come next.
        case doubled(as: String)
        /// The file of an earlier time.
        case older([UInt8])
    }

    let file: String
    let kind: Kind

    var description: String {
        switch kind {
        case .flip(let offset, let bit): "\(file): bit \(bit) at \(offset) flipped"
        case .cut(let count): "\(file): cut at \(count)"
        case .missing: "\(file): missing"
        case .doubled(let name): "\(file): doubled as \(name)"
        case .older: "\(file): from an older copy"
        }
    }

    /// Does it to a copy of the log.
    func apply(to storage: SimulatedStorage, _ bytes: [UInt8]) throws {
        let path = DamagedStore.place(file)
        func replace(_ path: FilePath, by bytes: [UInt8]) throws {
            let file = try storage.create(path)
            try file.writeBytes(bytes, at: 0)
            try file.close()
        }
        switch kind {
        case .flip(let offset, let bit):
            let file = try storage.open(path, for: .writing)
            try file.writeBytes([bytes[offset] ^ 1 << UInt8(bit)], at: offset)
            try file.close()
        case .cut(let count):
            try storage.remove(path)
            try replace(path, by: Array(bytes[..<count]))
        case .missing:
            try storage.remove(path)
        case .doubled(let name):
            try replace(DamagedStore.place(name), by: bytes)
        case .older(let bytes):
            try storage.remove(path)
            try replace(path, by: bytes)
        }
    }
}

extension DamagedStore {
    /// Every damage that this corpus knows: each used byte flipped, one byte a page of blank space,
    /// each file cut, missing, doubled, and taken from an older copy.
    ///
    /// - Parameter step: Every how many used bytes one is flipped.
    func damages(step: Int) -> [Damage] {
        var damages: [Damage] = []
        for (name, bytes) in files.sorted(by: { $0.key < $1.key }) {
            let phase = name.utf8.reduce(0) { $0 + Int($1) }
            var number = 0
            for offset in Self.places(in: bytes) {
                number += 1
                // Offset by the name, so that files of like content are not hit at like places.
                guard number % step == phase % step else { continue }
                damages.append(.init(file: name, kind: .flip(offset: offset, bit: offset % 8)))
            }
            damages.append(.init(file: name, kind: .missing))
            guard name != FileName.mark else { continue }
            for count in Set([0, 64, 128, 200, 4096, bytes.usedByteCount - 1, bytes.count - 1])
            where count >= 0 && count < bytes.count {
                damages.append(.init(file: name, kind: .cut(count)))
            }
            if let copy = Self.nextName(of: name), files[copy] == nil {
                damages.append(.init(file: name, kind: .doubled(as: copy)))
            }
            if let older = older[name] {
                damages.append(.init(file: name, kind: .older(older)))
            }
        }
        return damages
    }

    private static func nextName(of name: String) -> String? {
        if let generation = FileName.manifestGeneration(name) {
            return FileName.manifest(generation + 1)
        }
        let segment = name.split(separator: "/").last.map(String.init).flatMap(FileName.segmentID)
        return segment.map { "\(FileName.segments)/\(FileName.segment($0 + 1))" }
    }

    /// The used bytes, and of longer stretches of zeros one byte in 4096.
    private static func places(in bytes: [UInt8]) -> [Int] {
        var places: [Int] = []
        var zeros = 0
        for (offset, byte) in bytes.enumerated() {
            zeros = byte == 0 ? zeros + 1 : 0
            if zeros < 32 || offset % 4096 == 100 { places.append(offset) }
        }
        return places
    }
}
