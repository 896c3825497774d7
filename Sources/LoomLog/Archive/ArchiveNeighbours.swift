internal import LoomFormat

/// What the archives beside those that are made or rewritten hold of a run.
struct ArchiveNeighbours {
    /// What older archives hold of it.
    var past: (RunID) throws(LogError) -> (any ArchivedPast)?
    /// The newest summary of it in newer archives; only what is durable.
    var newest: (RunID) throws(LogError) -> [UInt8]?

    /// Neighbours that hold nothing, by default.
    init(
        past: @escaping (RunID) throws(LogError) -> (any ArchivedPast)? = {
            (_) throws(LogError) in nil
        },
        newest: @escaping (RunID) throws(LogError) -> [UInt8]? = { (_) throws(LogError) in nil }
    ) {
        (self.past, self.newest) = (past, newest)
    }
}
