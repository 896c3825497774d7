package import LoomFormat

/// What the tables of an archive keep of a run, as the layer above says it. See FORMAT.md, Tables.
package struct ArchivedRun: Sendable {
    /// A tool call that is found by its key.
    package struct Call: Hashable, Sendable {
        /// The fingerprint of its key.
        package var key: KeyFingerprint
        /// The position of its start.
        package var start: UInt64
        /// The position of its end; `nil` while it has none.
        package var end: UInt64?

        /// Creates a call.
        package init(key: KeyFingerprint, start: UInt64, end: UInt64?) {
            self.key = key
            self.start = start
            self.end = end
        }
    }

    /// The code of its status, 0 to 15.
    package var status: UInt8 = 0
    /// The code of the category of its last failure, 0 to 15; 0 for none.
    package var category: UInt8 = 0
    /// The loop's name.
    package var loop = ""
    /// Names and values for filters.
    package var labels: [(name: String, value: String)] = []
    /// The time of its first event.
    package var created: UInt64 = 0
    /// The time of its last event.
    package var updated: UInt64 = 0
    /// See `RunTableFlags`.
    package var flags: RunTableFlags = []
    /// The run's counts before its first event in the archive.
    package var countsBefore = RowCountVector()
    /// Everything else that is known of the run; bytes to the log.
    package var summary: [UInt8] = []
    /// Its calls of explicit keys.
    package var calls: [Call] = []

    /// Creates what is known of a run of which nothing is known.
    package init() {}
}
