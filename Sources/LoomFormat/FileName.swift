/// The names of the files in a store. See FORMAT.md, The directory.
public enum FileName {
    /// Held locked by the writer for its life; names it as text.
    public static let lock = "LOCK"
    /// How far the writer has published and synced; derived, never synced itself.
    public static let mark = "MARK"
    /// The folder of segments.
    public static let segments = "seg"
    /// The folder of tail tables.
    public static let tailTables = "idx"
    /// The folder of requests to the process that has the log. See ``RequestName``.
    public static let inbox = "inbox"
    /// The folder for what recovery or repair set aside.
    public static let quarantine = "quarantine"

    /// The file of a manifest generation.
    public static func manifest(_ generation: UInt64) -> String {
        "MANIFEST-\(generation.paddedHex)"
    }

    /// The generation that a manifest's name gives; `nil` for other files.
    public static func manifestGeneration(_ name: String) -> UInt64? {
        number(name, prefix: "MANIFEST-", suffix: "")
    }

    /// The file of a segment, below ``segments``.
    public static func segment(_ id: UInt64) -> String { "\(id.paddedHex).llg" }

    /// The number that a segment's name gives; `nil` for other files.
    public static func segmentID(_ name: String) -> UInt64? {
        number(name, prefix: "", suffix: ".llg")
    }

    /// The file of an archive, below ``segments``.
    public static func archive(_ id: UInt64) -> String { "\(id.paddedHex).lla" }

    /// The number that an archive's name gives; `nil` for other files.
    public static func archiveID(_ name: String) -> UInt64? {
        number(name, prefix: "", suffix: ".lla")
    }

    /// The file of a segment of this role, below ``segments``.
    public static func segment(_ id: UInt64, role: SegmentRole) -> String {
        role == .archive ? archive(id) : segment(id)
    }

    /// The tail table of the live events before a sequence, below ``tailTables``.
    public static func tailTable(_ sequence: UInt64) -> String { "\(sequence.paddedHex).llt" }

    /// The sequence that a tail table's name gives; `nil` for other files.
    public static func tailTableSequence(_ name: String) -> UInt64? {
        number(name, prefix: "", suffix: ".llt")
    }

    private static func number(_ name: String, prefix: String, suffix: String) -> UInt64? {
        let digits = Substring(
            name.utf8.dropFirst(prefix.utf8.count).dropLast(suffix.utf8.count))
        guard digits.utf8.count == 16, "\(prefix)\(digits)\(suffix)".hasSameBytes(as: name),
            digits.utf8.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) })
        else { return nil }
        guard let number = UInt64(digits, radix: 16), number < FormatLimits.numberEnd else {
            return nil
        }
        return number
    }
}
