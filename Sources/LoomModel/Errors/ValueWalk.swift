internal import LoomFormat

/// Writes a value as Swift's own reflection does, but only so deep, so wide and so long.
struct ValueWalk {
    private(set) var text = ""
    private var left: Int

    private static let depthMax = 12
    private static let membersMax = 64

    init(bytesMax: Int) { left = bytesMax }

    private mutating func add(_ piece: String) {
        guard left > 0 else { return }
        let size = piece.utf8.count
        text += size <= left ? piece : ErrorText.prefix(piece, left) + "…"
        left -= min(left, size)
    }

    /// Writes the error itself: by its own description, where it has one.
    mutating func addTop(_ error: any Error) {
        switch error {
        case let error as EncodingError: add(ErrorText.words(error))
        case let error as DecodingError: add(ErrorText.words(error))
        case let error as any CustomStringConvertible:
            // Cut by the caller, who keeps the end as well.
            text += error.description
            left = 0
        case let error as any CustomDebugStringConvertible:
            text += error.debugDescription
            left = 0
        default: addMembers(error, 0)
        }
    }

    private mutating func add(_ value: Any, _ depth: Int) {
        guard left > 0 else { return }
        guard depth < Self.depthMax else { return add("…") }
        switch value {
        case let error as EncodingError: return add(ErrorText.words(error))
        case let error as DecodingError: return add(ErrorText.words(error))
        case let text as String:
            return add(ErrorText.prefix(text, left).debugDescription)
        default: break
        }
        switch Mirror(reflecting: value).displayStyle {
        case .optional, .collection, .set, .dictionary, .tuple: addMembers(value, depth)
        default:
            if let value = value as? any CustomDebugStringConvertible {
                add(value.debugDescription)
            } else if let value = value as? any CustomStringConvertible {
                add(value.description)
            } else {
                addMembers(value, depth)
            }
        }
    }

    private mutating func addMembers(_ value: Any, _ depth: Int) {
        let mirror = Mirror(reflecting: value)
        switch mirror.displayStyle {
        case .optional:
            guard let some = mirror.children.first else { return add("nil") }
            add("Optional(")
            add(some.value, depth + 1)
            add(")")
        case .collection, .set: addList(mirror, "[", "]", depth)
        case .dictionary: addList(mirror, "[", "]", depth, isDictionary: true)
        case .tuple: addList(mirror, "(", ")", depth)
        case .enum:
            guard let payload = mirror.children.first, let name = payload.label else {
                // A case without a payload: there is nothing below it.
                return add("\(value)")
            }
            add(name)
            if Mirror(reflecting: payload.value).displayStyle == .tuple {
                add(payload.value, depth + 1)
            } else {
                add("(")
                add(payload.value, depth + 1)
                add(")")
            }
        case .struct: addList(mirror, "\(type(of: value))(", ")", depth)
        // A class may be circular, and Swift shows no member of one either.
        default: add("\(type(of: value))")
        }
    }

    private mutating func addList(
        _ mirror: Mirror, _ open: String, _ close: String, _ depth: Int,
        isDictionary: Bool = false
    ) {
        add(open)
        var count = 0
        for (label, child) in mirror.children {
            if count > 0 { add(", ") }
            guard left > 0, count < Self.membersMax else {
                add("…")
                break
            }
            count += 1
            let pair = isDictionary ? Array(Mirror(reflecting: child).children) : []
            if pair.count == 2 {
                add(pair[0].value, depth + 1)
                add(": ")
                add(pair[1].value, depth + 1)
                continue
            }
            // Of a tuple without names the labels are .0, .1 and so on.
            if let label, !label.hasBytePrefix(".") { add("\(label): ") }
            add(child, depth + 1)
        }
        add(close)
    }
}
