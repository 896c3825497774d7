/// Why bytes were refused. Carries what was found, never a path: the layers above add the place.
public enum FormatError: Error, Hashable, Sendable {
    /// The bytes end before the field does.
    case endOfBytes(needed: Int, available: Int)
    /// A variable-length integer is longer than ten bytes, overflows, or is not in shortest form.
    case badVarint
    /// A length or count is above its limit in ``FormatLimits`` or above what the buffer can hold.
    case limitExceeded(String, found: UInt64, limit: UInt64)
    /// The first bytes are not those of this structure.
    case badMagic(String)
    /// A stored hash does not match the bytes that it covers.
    case hashMismatch(String)
    /// A field that readers must understand holds a value that this build does not know.
    case unsupported(String, found: UInt64)
    /// A field holds a value that the format forbids.
    case invalid(String)
}

extension FormatError: CustomStringConvertible {
    /// One line, without a place.
    public var description: String {
        switch self {
        case .endOfBytes(let needed, let available):
            "\(needed) bytes needed, \(available) left"
        case .badVarint: "a variable-length integer is malformed"
        case .limitExceeded(let field, let found, let limit):
            "\(field) is \(found), above its limit of \(limit)"
        case .badMagic(let structure): "the first bytes are not those of a \(structure)"
        case .hashMismatch(let part): "the hash of the \(part) does not match its bytes"
        case .unsupported(let field, let found):
            "\(field) \(found) is not known to this version of loomlog"
        case .invalid(let reason): reason
        }
    }
}
