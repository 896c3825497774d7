/// Makes the text of any error: the one place for what is recorded and shown of one.
///
/// An error may describe itself by a huge, a deep or a circular value, and `"\(error)"` prints all
/// of it. This text is bounded in bytes, in depth and in the number of members. An `EncodingError`
/// carries the value that was refused; the text names the value's type instead.
///
/// A description that the error makes for itself is called as it is. What that may cost, only its
/// author knows: `Failure(recording:)` bounds its time.
public enum ErrorText {
    /// The most bytes of a text: 16 KiB.
    public static let bytesMax = 16 << 10

    /// What an error says, without the name of its type.
    public static func words(_ error: any Error) -> String {
        var walk = ValueWalk(bytesMax: bytesMax)
        walk.addTop(error)
        return cut(walk.text)
    }

    /// A text of at most ``bytesMax`` bytes: the beginning and the end of one that is longer.
    public static func cut(_ text: String) -> String { cut(text, to: bytesMax) }

    /// A text of at most `count` bytes, of 64 or more.
    static func cut(_ text: String, to count: Int) -> String {
        let size = text.utf8.count
        guard size > count else { return text }
        // The end often says what went wrong, as in a Python traceback.
        let room = count - 48
        let note = " … (\(size - room) bytes left out) … "
        let (head, tail) = (room - room / 4, room / 4)
        return prefix(text, head) + note + suffix(text, tail)
    }

    static func prefix(_ text: String, _ count: Int) -> String {
        let utf8 = text.utf8
        guard var end = utf8.index(utf8.startIndex, offsetBy: count, limitedBy: utf8.endIndex)
        else { return text }
        while end > utf8.startIndex, end.samePosition(in: text.unicodeScalars) == nil {
            end = utf8.index(before: end)
        }
        return String(text[..<end])
    }

    private static func suffix(_ text: String, _ count: Int) -> String {
        let utf8 = text.utf8
        guard var start = utf8.index(utf8.endIndex, offsetBy: -count, limitedBy: utf8.startIndex)
        else { return text }
        while start < utf8.endIndex, start.samePosition(in: text.unicodeScalars) == nil {
            start = utf8.index(after: start)
        }
        return String(text[start...])
    }
}

extension ErrorText {
    /// Why a value was not encoded: by its type, never by the value.
    static func words(_ error: EncodingError) -> String {
        guard case .invalidValue(let value, let context) = error else {
            return "a value was not encoded"
        }
        let type = prefix("\(Swift.type(of: value))", 200)
        return "a \(type) was not encoded: \(words(context.debugDescription, context.codingPath))"
    }

    /// Why JSON is not a value of a type.
    static func words(_ error: DecodingError) -> String {
        switch error {
        case .keyNotFound(let key, let context):
            "it has no \(prefix(key.stringValue, 200))\(place(context.codingPath))"
        case .typeMismatch(_, let context), .valueNotFound(_, let context),
            .dataCorrupted(let context):
            words(context.debugDescription, context.codingPath)
        @unknown default: "a value was not decoded"
        }
    }

    private static func words(_ description: String, _ path: [any CodingKey]) -> String {
        cut(description, to: 4096) + place(path)
    }

    /// The first and the last keys of a path: it may be 512 long, and a key may be anything.
    private static func place(_ path: [any CodingKey]) -> String {
        if path.isEmpty { return "" }
        func joined(_ keys: ArraySlice<any CodingKey>) -> String {
            keys.map { prefix($0.stringValue, 100) }.joined(separator: ".")
        }
        guard path.count > 16 else { return " at \(joined(path[...]))" }
        return " at \(joined(path.prefix(8)))… (\(path.count) keys) …\(joined(path.suffix(4)))"
    }
}
