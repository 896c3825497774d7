public import LoomFormat

/// The identity of what a step reads: XXH3-128 of a tag and the canonical bytes of the state.
///
/// Derived from the stored state wherever it is shown, never stored beside it. The tag keeps it
/// apart from the hashes of other runtimes and of other things.
public enum InputHash {
    private static let tag = Array("loomlog-input-1\0".utf8)

    /// The hash of a state.
    public static func of(state: [UInt8]) -> ContentHash {
        ContentHash(of: (tag + state).rawSpan)
    }
}
