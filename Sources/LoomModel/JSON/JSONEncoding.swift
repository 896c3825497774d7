/// The state of one encoding: one buffer, and a frame for each value that is being encoded.
///
/// Codable never says when a container ends, so a value's container ends when its `encode(to:)`
/// returns: the frame is then closed, and the members of an object are put in order, by moving
/// their bytes, if they did not come in order. Containers that are open beside others
/// (`nestedContainer`, `superEncoder`) get an encoding of their own, which is put in place when the
/// frame closes.
///
/// A value that throws is taken back to where its frame began, and the key or the comma before it
/// by its container: whoever goes on after `try?` goes on behind the last whole member.
final class JSONEncoding {
    enum Kind: Equatable {
        case undecided, object, array, base64, single
        /// An array whose elements are put in order when it ends.
        case set

        /// Whether the value is an array or an object in the text.
        var isNesting: Bool { self == .object || self == .array || self == .set }
    }

    /// One member of an object: its key without quotes, and where its value ends. Of an element of
    /// a set the key is the element.
    struct Member: BitwiseCopyable {
        var keyStart: Int
        var keyEnd: Int
        var end: Int
    }

    struct Frame: BitwiseCopyable {
        var kind = Kind.undecided
        var isSorted = true
        var hasEscapes = false
        /// Whether the value did what Codable gives no way to refuse at once: it is refused when it
        /// ends, for the reason in `refusals`.
        var isRefused = false
        var start: Int
        /// Which type is being encoded: only looked at for arrays and dictionaries.
        var type: TypeReference
        /// Where the frame's members begin in `members`.
        var firstMember: Int
        var count = 0
        /// Where the frame's nested encodings begin in `nested`.
        var firstNested: Int
        /// How many arrays and objects are open, this one included once it is decided.
        var level: Int
        /// Tells the frame from all others of the encoding; 0 is none.
        var serial: Int
    }

    let bytes: JSONText
    let frames: TrivialStack<Frame>
    let members: TrivialStack<Member>
    /// Encodings that run beside this one, and where each one's text belongs.
    var nested: [JSONEncoding] = []
    /// As plain values: how many there are is asked for every value.
    let nestedPlaces: TrivialStack<Int>
    let parentPath: [any CodingKey]
    /// Why a frame is refused, by its place on the stack.
    private var refusals: [Int: EncodingError] = [:]
    private var lastSerial = 0
    /// How many keys were compared to put members in order: what a test counts.
    var comparisonCount = 0
    /// Bytes of the value that is being written as base64 that do not fill a group of three yet.
    private var carry: [UInt8] = []

    /// Values that may be open at once. More than arrays and objects, as a value may stand in
    /// another without a text of its own: optionals, raw values, boxes.
    private static let framesMax = 4 * CanonicalJSONEncoder.depthMax

    init() {
        bytes = JSONText(capacity: 256)
        frames = TrivialStack(capacity: 16)
        members = TrivialStack(capacity: 32)
        nestedPlaces = TrivialStack(capacity: 4)
        parentPath = []
    }

    /// An encoding of one value whose container is asked for from outside, inside `level` arrays
    /// and objects.
    init(root type: Any.Type, level: Int = 0, parentPath: [any CodingKey] = []) {
        bytes = JSONText(capacity: 64)
        frames = TrivialStack(capacity: 2)
        members = TrivialStack(capacity: 4)
        nestedPlaces = TrivialStack(capacity: 1)
        self.parentPath = parentPath
        lastSerial = 1
        frames.append(
            Frame(
                start: 0, type: TypeReference(type), firstMember: 0, firstNested: 0, level: level,
                serial: 1))
    }

    /// Forgets everything but the memory. Only after an encoding that went well.
    func empty() {
        bytes.truncate(to: 0)
        members.truncate(to: 0)
        frames.truncate(to: 0)
    }

    /// Writes one value where the buffer ends, or leaves the encoding as it was.
    func write<Value: Encodable>(_ value: Value) throws {
        let place = frames.count
        guard place < Self.framesMax else { throw refusal(value, Self.tooDeep) }
        lastSerial += 1
        frames.append(
            Frame(
                start: bytes.count, type: TypeReference(Value.self), firstMember: members.count,
                firstNested: nestedPlaces.count, level: place > 0 ? frames[place - 1].level : 0,
                serial: lastSerial))
        do {
            try value.encode(to: self)
            try close(value)
        } catch {
            let cause = refusal(of: value, at: place) ?? error
            takeBack(to: place)
            throw cause
        }
    }

    /// Why the value of a frame is refused, if it is. Only its type was known when this was noted.
    private func refusal(of value: Any, at place: Int) -> (any Error)? {
        guard frames[place].isRefused, let error = refusals[place] else { return nil }
        guard case .invalidValue(let type, let context) = error, type is Any.Type else {
            return error
        }
        return EncodingError.invalidValue(value, context)
    }

    /// Ends the innermost frame: the value's own containers are complete now.
    private func close(_ value: Any) throws {
        let place = frames.count - 1
        let frame = frames[place]
        if frame.isRefused { throw refusals[place] ?? refusal(value, "the value is refused") }
        switch frame.kind {
        case .undecided: throw refusal(value, "the value encodes nothing")
        case .single: break
        case .base64: endBase64()
        case .array:
            try putNested(frame)
            bytes.append(0x5D)
        case .set:
            try putNested(frame)
            sortElements(frame)
            bytes.append(0x5D)
        case .object:
            try putNested(frame)
            try sortMembers(frame)
            bytes.append(0x7D)
        }
        frames.truncate(to: place)
    }

    /// Forgets a frame, with everything that was written since it began.
    private func takeBack(to place: Int) {
        guard frames.count > place else { return }
        let frame = frames[place]
        bytes.truncate(to: frame.start)
        members.truncate(to: frame.firstMember)
        dropNested(from: frame.firstNested)
        if frame.isRefused { refusals[place] = nil }
        if !carry.isEmpty { carry = [] }
        frames.truncate(to: place)
    }

    /// Forgets the last encodings that ran beside this one.
    func dropNested(from first: Int) {
        guard nestedPlaces.count > first else { return }
        nested.removeSubrange(first...)
        nestedPlaces.truncate(to: first)
    }

    /// Ends an encoding that ran beside another.
    func closeRoot() throws {
        // A super encoder that was asked for and not used leaves an empty object.
        if frames[0].kind == .undecided, !frames[0].isRefused { _ = begin(.object) }
        try close(())
    }

    /// Decides what the innermost value is, when it asks for its container. Returns the frame's
    /// serial, or 0 when the value cannot have this container and is going to be refused.
    func begin(_ kind: Kind) -> Int {
        let top = frames.count - 1
        guard top >= 0 else { return 0 }
        let frame = frames[top]
        if frame.isRefused { return 0 }
        guard frame.kind == .undecided else {
            // A class and its superclass share one container of one kind.
            if frame.kind == kind { return frame.serial }
            refuse(top, "the value asks for containers of two kinds")
            return 0
        }
        if kind.isNesting {
            guard frame.level < CanonicalJSONEncoder.depthMax else {
                refuse(top, Self.tooDeep)
                return 0
            }
        }
        frames.update(top) { frame in
            frame.kind = kind
            if kind.isNesting { frame.level += 1 }
        }
        switch kind {
        case .object: bytes.append(0x7B)
        case .array, .set: bytes.append(0x5B)
        case .base64: bytes.append(0x22)
        case .undecided, .single: break
        }
        return frame.serial
    }

    static let tooDeep = "the value is nested deeper than 512"

    /// Notes that the value of a frame is to be refused when it ends.
    private func refuse(_ place: Int, _ reason: String) {
        refuse(place, refusal(frames[place].type.type, reason))
    }

    func refuse(_ place: Int, _ error: EncodingError) {
        guard !frames[place].isRefused else { return }
        frames.update(place) { $0.isRefused = true }
        refusals[place] = error
    }

    /// Refuses a container whose value is not the innermost one: it was encoded already, or another
    /// is being encoded in it.
    @inline(__always)
    func checkOpen(_ serial: Int) throws {
        let top = frames.count - 1
        guard top >= 0, frames[top].serial == serial else { throw notOpen(serial) }
    }

    private func notOpen(_ serial: Int) -> EncodingError {
        if serial == 0, let error = refusals[frames.count - 1] { return error }
        return refusal(serial, "a container is used while its value is not being encoded")
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
            } else if frame.kind != .object, frame.count > 0 {
                path.append(JSONKey(index: frame.count - 1))
            }
        }
        return path
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
    /// Writes a value of any JSON, which is a value by itself. Returns whether it was written; one
    /// that has no text is left to the containers, which find the path of the part that has none.
    func putTree(_ value: JSONValue) throws -> Bool {
        let top = frames.count - 1
        guard top >= 0, frames[top].kind == .undecided, !frames[top].isRefused else { return false }
        do throws(JSONError) {
            try value.check(depth: frames[top].level)
        } catch {
            return false
        }
        value.append(to: bytes)
        frames.update(top) { $0.kind = .single }
        return true
    }

    /// Takes bytes of a value that is written as base64.
    func appendBase64(_ source: UnsafeBufferPointer<UInt8>) {
        var source = unsafe source[...]
        while !carry.isEmpty, carry.count < 3, let byte = unsafe source.popFirst() {
            carry.append(byte)
        }
        if carry.count == 3 {
            unsafe carry.withUnsafeBufferPointer { unsafe bytes.appendBase64($0) }
            carry = []
        }
        let whole = unsafe source.count / 3 * 3
        unsafe bytes.appendBase64(UnsafeBufferPointer(rebasing: source.prefix(whole)))
        unsafe carry.append(contentsOf: source.dropFirst(whole))
    }

    private func endBase64() {
        unsafe carry.withUnsafeBufferPointer { unsafe bytes.appendBase64($0) }
        carry = []
        bytes.append(0x22)
    }
}
