/// Writes values as canonical JSON: equal values have equal bytes, on every machine, for ever.
///
/// Keys are ordered by their UTF-8 bytes; no whitespace; escapes only for `"`, `\` and controls; integers
/// exact; doubles in their shortest form that reads back, without a sign on zero; `Data` as base64. NaN,
/// infinities, keys that are not strings, keys that come twice, integers outside 64 bits and nesting
/// above 512 are refused with their coding path.
///
/// ```swift
/// let bytes = try CanonicalJSONEncoder().encode(["b": 1, "a": 2])   // {"a":2,"b":1}
/// ```
public struct CanonicalJSONEncoder: Sendable {
    /// The deepest nesting of arrays and objects that is written or read.
    public static let depthMax = 512

    /// Creates an encoder; it has no options, as there is one canonical form.
    public init() {}

    /// The canonical bytes of a value.
    ///
    /// - Throws: `EncodingError`, with the coding path of what cannot be written.
    public func encode<Value: Encodable>(_ value: Value) throws -> [UInt8] {
        let encoder = JSONEncoding()
        try encoder.write(value)
        return encoder.bytes
    }
}

/// The state of one encoding: one buffer, and a frame for each value that is being encoded.
///
/// Codable never says when a container ends, so a value's container ends when its `encode(to:)` returns:
/// the frame is then closed, and the members of an object are put in order, by moving their bytes, if
/// they did not come in order. Containers that are open beside others (`nestedContainer`,
/// `superEncoder`) get an encoding of their own, which is put in place when the frame closes.
final class JSONEncoding {
    enum Kind: Equatable {
        case undecided, object, array, base64, single
    }

    /// One member of an object: its key without quotes, and where its value ends.
    struct Member {
        var key: Range<Int>
        var end: Int
        /// For members with a container of their own: which one.
        var nested: Int?
    }

    struct Frame {
        var kind = Kind.undecided
        var start: Int
        var type: Any.Type
        /// Where the frame's members begin in `members`.
        var firstMember: Int
        var count = 0
        var isSorted = true
        var hasEscapes = false
        /// Where the frame's nested encodings begin in `nested`.
        var firstNested: Int
    }

    var bytes: [UInt8] = []
    var frames: [Frame] = []
    var members: [Member] = []
    var nested: [(encoding: JSONEncoding, offset: Int)] = []
    private let parentPath: [any CodingKey]
    private let depth: Int
    /// Raw bytes of the value that is being written as base64.
    private var raw: [UInt8] = []

    init(parentPath: [any CodingKey] = [], depth: Int = 0) {
        self.parentPath = parentPath
        self.depth = depth
        bytes.reserveCapacity(256)
    }

    /// Writes one value where the buffer ends.
    func write<Value: Encodable>(_ value: Value) throws {
        guard depth + frames.count < CanonicalJSONEncoder.depthMax else {
            throw refusal(value, "the value is nested deeper than 512")
        }
        frames.append(
            Frame(
                start: bytes.count, type: Value.self, firstMember: members.count,
                firstNested: nested.count))
        try value.encode(to: self)
        try close(value)
    }

    /// Ends the innermost frame: the value's own containers are complete now.
    private func close(_ value: Any) throws {
        guard let frame = frames.last else { return }
        switch frame.kind {
        case .undecided: throw refusal(value, "the value encodes nothing")
        case .single: break
        case .base64:
            bytes.appendJSONBase64(raw)
            raw = []
        case .array:
            try putNested(frame, isObject: false)
            bytes.append(0x5D)
        case .object:
            try putNested(frame, isObject: true)
            try sortMembers(frame)
            bytes.append(0x7D)
        }
        frames.removeLast()
    }

    /// Puts the encodings that ran beside into the places that were kept for them.
    private func putNested(_ frame: Frame, isObject: Bool) throws {
        guard nested.count > frame.firstNested else { return }
        // From the last to the first, so that the places before stay where they are.
        while nested.count > frame.firstNested, let (encoding, offset) = nested.popLast() {
            try encoding.closeAll()
            bytes.insert(contentsOf: encoding.bytes, at: offset)
            guard isObject else { continue }
            for index in frame.firstMember..<members.count where members[index].end >= offset {
                members[index].end += encoding.bytes.count
                if members[index].key.lowerBound > offset {
                    let key = members[index].key
                    members[index].key =
                        (key.lowerBound + encoding.bytes.count)
                        ..< (key.upperBound + encoding.bytes.count)
                }
            }
        }
    }

    /// Ends an encoding that ran beside another.
    private func closeAll() throws {
        while !frames.isEmpty {
            // A super encoder that was asked for and not used leaves an empty object.
            if frames[frames.count - 1].kind == .undecided { begin(.object) }
            try close(())
        }
    }

    /// Orders the members of an object by the UTF-8 bytes of their keys.
    private func sortMembers(_ frame: Frame) throws {
        defer { members.removeLast(members.count - frame.firstMember) }
        guard !frame.isSorted || frame.hasEscapes else { return }
        let start = frame.start + 1
        let own = members[frame.firstMember...]
        let keys = own.map { frame.hasEscapes ? unescaped($0.key) : Array(bytes[$0.key]) }
        let order = own.indices.sorted {
            keys[$0 - frame.firstMember].lexicographicallyPrecedes(keys[$1 - frame.firstMember])
        }
        var sorted: [UInt8] = []
        sorted.reserveCapacity(bytes.count - start)
        for (place, index) in order.enumerated() {
            if place > 0 {
                if keys[index - frame.firstMember] == keys[order[place - 1] - frame.firstMember] {
                    throw duplicate(keys[index - frame.firstMember])
                }
                sorted.append(0x2C)
            }
            sorted.append(contentsOf: bytes[(members[index].key.lowerBound - 1)..<members[index].end])
        }
        bytes.replaceSubrange(start..., with: sorted)
    }

    /// The bytes of a key before it was escaped: it is in the buffer as a JSON string.
    private func unescaped(_ key: Range<Int>) -> [UInt8] {
        let quoted = Array(bytes[(key.lowerBound - 1)...key.upperBound])
        guard case .string(let text)? = try? JSONValue(parsing: quoted) else { return quoted }
        return Array(text.utf8)
    }
}

extension JSONEncoding {
    /// Decides what the innermost value is, when it asks for its container.
    func begin(_ kind: Kind) {
        let top = frames.count - 1
        guard frames[top].kind == .undecided else {
            // A class and its superclass share one container of one kind.
            precondition(frames[top].kind == kind, "a value asked for containers of two kinds")
            return
        }
        frames[top].kind = kind
        if kind == .object { bytes.append(0x7B) }
        if kind == .array { bytes.append(0x5B) }
    }

    /// Writes the key of the next member of the frame at `depth`.
    func beginMember(_ key: String, frame depth: Int) throws {
        try checkOpen(depth)
        let top = frames.count - 1
        if frames[top].count > 0 { bytes.append(0x2C) }
        frames[top].count += 1
        let start = bytes.count + 1
        if bytes.appendJSON(key) { frames[top].hasEscapes = true }
        let range = start..<(bytes.count - 1)
        bytes.append(0x3A)
        if frames[top].isSorted, members.count > frames[top].firstMember {
            let previous = members[members.count - 1].key
            switch compare(previous, range) {
            case ..<0: break
            case 0: throw duplicate(Array(bytes[range]))
            default: frames[top].isSorted = false
            }
        }
        members.append(Member(key: range, end: 0))
    }

    /// The last member's value is written.
    func endMember() { members[members.count - 1].end = bytes.count }

    /// Begins the next element of the frame at `depth`.
    func beginElement(frame depth: Int) throws {
        try checkOpen(depth)
        let top = frames.count - 1
        if frames[top].count > 0 { bytes.append(0x2C) }
        frames[top].count += 1
    }

    /// Takes a byte of a value that is written as base64.
    func appendRaw(_ byte: UInt8) { raw.append(byte) }

    /// An encoding that runs beside this one, whose result belongs where the buffer ends now.
    func beside(_ type: Any.Type = JSONEncoding.self) -> JSONEncoding {
        let encoding = JSONEncoding(parentPath: codingPath, depth: depth + frames.count)
        encoding.frames.append(Frame(start: 0, type: type, firstMember: 0, firstNested: 0))
        nested.append((encoding, bytes.count))
        return encoding
    }

    private func checkOpen(_ depth: Int) throws {
        guard frames.count == depth else {
            throw refusal(depth, "a container was used after its value was encoded")
        }
    }

    private func compare(_ a: Range<Int>, _ b: Range<Int>) -> Int {
        let count = min(a.count, b.count)
        for index in 0..<count {
            let (x, y) = (bytes[a.lowerBound + index], bytes[b.lowerBound + index])
            if x != y { return x < y ? -1 : 1 }
        }
        return a.count - b.count
    }

    private func duplicate(_ key: [UInt8]) -> EncodingError {
        refusal(key, "the key \"\(String(decoding: key, as: UTF8.self))\" is encoded twice")
    }

    /// An error with the path of the value that is being written.
    func refusal(_ value: Any, _ reason: String) -> EncodingError {
        .invalidValue(value, .init(codingPath: codingPath, debugDescription: reason))
    }

    /// Read back from what was written: it is only needed for errors.
    var codingPath: [any CodingKey] {
        var path = parentPath
        for (index, frame) in frames.enumerated() {
            let isLast = index == frames.count - 1
            let memberEnd = isLast ? members.count : frames[index + 1].firstMember
            if frame.kind == .object, memberEnd > frame.firstMember {
                let key = members[memberEnd - 1].key
                path.append(JSONKey(String(decoding: bytes[key], as: UTF8.self)))
            } else if frame.kind == .array, frame.count > 0 {
                path.append(JSONKey(index: frame.count - 1))
            }
        }
        return path
    }
}

/// A key of an object or an index of an array, in the coding paths of errors.
struct JSONKey: CodingKey {
    let stringValue: String
    let intValue: Int?

    init(_ key: String) {
        stringValue = key
        intValue = nil
    }

    init(index: Int) {
        stringValue = "\(index)"
        intValue = index
    }

    init?(stringValue: String) { self.init(stringValue) }
    init?(intValue: Int) { self.init(index: intValue) }
}
