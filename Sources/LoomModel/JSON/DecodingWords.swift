/// Why JSON is not a value of a type, in one line.
public enum DecodingWords {
    /// The words for an error of a decoder; any other one as it describes itself.
    public static func words(_ error: any Error) -> String {
        func path(_ context: DecodingError.Context) -> String {
            let path = context.codingPath.map(\.stringValue).joined(separator: ".")
            return path.isEmpty ? "" : " at \(path)"
        }
        switch error {
        case DecodingError.keyNotFound(let key, let context):
            return "it has no \(key.stringValue)\(path(context))"
        case DecodingError.typeMismatch(_, let context),
            DecodingError.valueNotFound(_, let context),
            DecodingError.dataCorrupted(let context):
            return "\(context.debugDescription)\(path(context))"
        default: return "\(error)"
        }
    }
}
