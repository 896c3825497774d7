internal import CLoomSystem

extension [UInt8] {
    /// Returns how many bytes there are up to the last that is not zero.
    ///
    /// Compares whole pages, so that looking through megabytes of blank space is cheap.
    public var usedByteCount: Int {
        unsafe withUnsafeBytes { unsafe loom_used_bytes($0.baseAddress, $0.count) }
    }
}
