internal import Synchronization

/// Writes values as canonical JSON: equal values have equal bytes, on every machine, for ever.
///
/// Keys are ordered by their UTF-8 bytes; no whitespace; escapes only for `"`, `\` and controls;
/// integers exact; doubles in their shortest form that reads back, without a sign on zero; `Data`
/// as base64. NaN, infinities, keys that are not strings, keys that come twice, integers outside 64
/// bits and nesting above 512 are refused with their coding path.
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
        var encoder = SpareEncoding.take() ?? JSONEncoding()
        try encoder.write(value)
        let bytes = encoder.bytes.array
        // A value that kept its encoder keeps it for good.
        if isKnownUniquelyReferenced(&encoder) { SpareEncoding.put(encoder) }
        return bytes
    }
}

/// One encoding that is kept for its memory: a loop encodes a small state at every step.
///
/// Sendable without checks: whoever takes it has it alone.
private struct SpareEncoding: @unchecked Sendable {
    private static let slot = Mutex<SpareEncoding?>(nil)
    private static let bytesMax = 64 << 10
    private let encoding: JSONEncoding

    static func take() -> JSONEncoding? {
        slot.withLockIfAvailable { slot -> SpareEncoding? in
            defer { slot = nil }
            return slot
        }??.encoding
    }

    static func put(_ encoding: JSONEncoding) {
        guard encoding.bytes.count <= bytesMax else { return }
        encoding.empty()
        let spare = SpareEncoding(encoding: encoding)
        _ = slot.withLockIfAvailable { $0 = spare }
    }
}

/// The state of one encoding: one buffer, and a frame for each value that is being encoded.
///
/// Codable never says when a container ends, so a value's container ends when its `encode(to:)`
/// returns: the frame is then closed, and the members of an object are put in order, by moving
/// their bytes, if they did not come in order. Containers that are open beside others
/// (`nestedContainer`, `superEncoder`) get an encoding of their own, which is put in place when the
/// frame closes.
final class JSONEncoding {
    enum Kind: Equatable {
        case undecided, object, array, base64, single
    }

    /// One member of an object: its key without quotes, and where its value ends.
    struct Member: BitwiseCopyable {
        var keyStart: Int
        var keyEnd: Int
        var end: Int
    }

    struct Frame: BitwiseCopyable {
        var kind = Kind.undecided
        var start: Int
        /// Which type is being encoded: only looked at for arrays and dictionaries.
        var type: TypeReference
        /// Where the frame's members begin in `members`.
        var firstMember: Int
        var count = 0
        var isSorted = true
        var hasEscapes = false
        /// Where the frame's nested encodings begin in `nested`.
        var firstNested: Int
    }

    let bytes = JSONText(capacity: 256)
    let frames = TrivialStack<Frame>(capacity: 16)
    let members = TrivialStack<Member>(capacity: 32)
    var nested: [(encoding: JSONEncoding, offset: Int)] = []
    private let parentPath: [any CodingKey]
    private let depth: Int
    /// Raw bytes of the value that is being written as base64.
    private var raw: [UInt8] = []

    init(parentPath: [any CodingKey] = [], depth: Int = 0) {
        self.parentPath = parentPath
        self.depth = depth
    }

    /// Forgets everything but the memory. Only after an encoding that went well.
    func empty() {
        bytes.truncate(to: 0)
        members.truncate(to: 0)
        frames.truncate(to: 0)
    }

    /// Writes one value where the buffer ends.
    func write<Value: Encodable>(_ value: Value) throws {
        guard depth + frames.count < CanonicalJSONEncoder.depthMax else {
            throw refusal(value, "the value is nested deeper than 512")
        }
        frames.append(
            Frame(
                start: bytes.count, type: TypeReference(Value.self), firstMember: members.count,
                firstNested: nested.count))
        try value.encode(to: self)
        try close(value)
    }

    /// Ends the innermost frame: the value's own containers are complete now.
    private func close(_ value: Any) throws {
        guard frames.count > 0 else { return }
        let frame = frames[frames.count - 1]
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
        frames.truncate(to: frames.count - 1)
    }

    /// Puts the encodings that ran beside into the places that were kept for them.
    private func putNested(_ frame: Frame, isObject: Bool) throws {
        guard nested.count > frame.firstNested else { return }
        // From the last to the first, so that the places before stay where they are.
        while nested.count > frame.firstNested, let (encoding, offset) = nested.popLast() {
            try encoding.closeAll()
            let added = encoding.bytes.count
            unsafe encoding.bytes.withElements { unsafe bytes.insert(contentsOf: $0, at: offset) }
            guard isObject else { continue }
            for index in frame.firstMember..<members.count where members[index].end >= offset {
                members.update(index) { member in
                    member.end += added
                    if member.keyStart > offset {
                        member.keyStart += added
                        member.keyEnd += added
                    }
                }
            }
        }
    }

    /// Ends an encoding that ran beside another.
    private func closeAll() throws {
        while frames.count > 0 {
            // A super encoder that was asked for and not used leaves an empty object.
            if frames[frames.count - 1].kind == .undecided { begin(.object) }
            try close(())
        }
    }

    /// Orders the members of an object by the UTF-8 bytes of their keys.
    private func sortMembers(_ frame: Frame) throws {
        defer { members.truncate(to: frame.firstMember) }
        guard !frame.isSorted || frame.hasEscapes else { return }
        let first = frame.firstMember
        let start = frame.start + 1
        // By insertion: objects are small, and mostly in order.
        for index in (first + 1)..<max(first + 1, members.count) {
            var place = index
            while place > first {
                let order = compare(members[place - 1], members[place], frame.hasEscapes)
                if order == 0 { throw duplicate(members[place]) }
                if order < 0 { break }
                let moved = members[place]
                members[place] = members[place - 1]
                members[place - 1] = moved
                place -= 1
            }
        }
        let sorted = JSONText(capacity: bytes.count - start)
        unsafe bytes.withElements { text in
            for index in first..<members.count {
                if index > first { sorted.append(0x2C) }
                let member = members[index]
                unsafe sorted.append(
                    contentsOf: UnsafeBufferPointer(
                        rebasing: text[(member.keyStart - 1)..<member.end]))
            }
        }
        bytes.truncate(to: start)
        unsafe sorted.withElements { unsafe bytes.append(contentsOf: $0) }
    }

    /// Below 0 when the first key comes before the second, 0 when they are equal.
    func compare(_ a: Member, _ b: Member, _ hasEscapes: Bool) -> Int {
        if hasEscapes {
            let (x, y) = (unescaped(a), unescaped(b))
            return x == y ? 0 : x.lexicographicallyPrecedes(y) ? -1 : 1
        }
        let (left, right) = (a.keyEnd - a.keyStart, b.keyEnd - b.keyStart)
        for index in 0..<min(left, right) {
            let (x, y) = (bytes[a.keyStart + index], bytes[b.keyStart + index])
            if x != y { return x < y ? -1 : 1 }
        }
        return left - right
    }

    /// The bytes of a key before it was escaped: it is in the buffer as a JSON string.
    private func unescaped(_ member: Member) -> [UInt8] {
        let quoted = ((member.keyStart - 1)...member.keyEnd).map { bytes[$0] }
        guard case .string(let text)? = try? JSONValue(parsing: quoted) else { return quoted }
        return Array(text.utf8)
    }
}

/// A type as plain data.
struct TypeReference: BitwiseCopyable {
    private let id: ObjectIdentifier
    init(_ type: Any.Type) { id = ObjectIdentifier(type) }

    /// The type again: types live for ever.
    var type: Any.Type { unsafe unsafeBitCast(id, to: Any.Type.self) }
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
        frames.update(top) { $0.kind = kind }
        if kind == .object { bytes.append(0x7B) }
        if kind == .array { bytes.append(0x5B) }
    }

    /// Writes the key of the next member of the frame at `depth`.
    func beginMember(_ key: String, frame depth: Int) throws {
        try checkOpen(depth)
        let top = frames.count - 1
        if frames[top].count > 0 { bytes.append(0x2C) }
        let start = bytes.count + 1
        let escapes = bytes.appendJSON(key)
        let member = Member(keyStart: start, keyEnd: bytes.count - 1, end: 0)
        bytes.append(0x3A)
        frames.update(top) { frame in
            frame.count += 1
            if escapes { frame.hasEscapes = true }
        }
        let frame = frames[top]
        if frame.isSorted, !frame.hasEscapes, members.count > frame.firstMember {
            let order = compare(members[members.count - 1], member, false)
            if order == 0 { throw duplicate(member) }
            if order > 0 { frames.update(top) { $0.isSorted = false } }
        }
        members.append(member)
    }

    /// The last member's value is written.
    func endMember() { members.update(members.count - 1) { $0.end = bytes.count } }

    /// Begins the next element of the frame at `depth`.
    func beginElement(frame depth: Int) throws {
        try checkOpen(depth)
        let top = frames.count - 1
        if frames[top].count > 0 { bytes.append(0x2C) }
        frames.update(top) { $0.count += 1 }
    }

    /// Takes a byte of a value that is written as base64.
    func appendRaw(_ byte: UInt8) { raw.append(byte) }

    /// An encoding that runs beside this one, whose result belongs where the buffer ends now.
    func beside(_ type: Any.Type = JSONEncoding.self) -> JSONEncoding {
        let encoding = JSONEncoding(parentPath: codingPath, depth: depth + frames.count)
        encoding.frames.append(
            Frame(start: 0, type: TypeReference(type), firstMember: 0, firstNested: 0))
        nested.append((encoding, bytes.count))
        return encoding
    }

    private func checkOpen(_ depth: Int) throws {
        guard frames.count == depth else {
            throw refusal(depth, "a container was used after its value was encoded")
        }
    }

    private func duplicate(_ member: Member) -> EncodingError {
        let key = keyText(member)
        return refusal(key, "the key \"\(key)\" is encoded twice")
    }

    private func keyText(_ member: Member) -> String {
        String(decoding: (member.keyStart..<member.keyEnd).map { bytes[$0] }, as: UTF8.self)
    }

    /// An error with the path of the value that is being written.
    func refusal(_ value: Any, _ reason: String) -> EncodingError {
        .invalidValue(value, .init(codingPath: codingPath, debugDescription: reason))
    }

    /// Read back from what was written: it is only needed for errors.
    var codingPath: [any CodingKey] {
        var path = parentPath
        for index in 0..<frames.count {
            let frame = frames[index]
            let isLast = index == frames.count - 1
            let memberEnd = isLast ? members.count : frames[index + 1].firstMember
            if frame.kind == .object, memberEnd > frame.firstMember {
                path.append(JSONKey(keyText(members[memberEnd - 1])))
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
