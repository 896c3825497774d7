/// Why JSON is not a value of a type, in one line.
public enum DecodingWords {
    /// The words for an error of a decoder, and for any other one: ``ErrorText/words(_:)``.
    public static func words(_ error: any Error) -> String { ErrorText.words(error) }
}
