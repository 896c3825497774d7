public import LoomFormat

extension RunID {
    /// How the names begin of the runs that keep calls with shared keys; FORMAT.md, 12.1.
    public static let keeperPrefix = "loomlog.key:"

    /// Whether this is such a run, which no loop drives.
    public var isKeeper: Bool { rawValue.hasBytePrefix(Self.keeperPrefix) }
}
