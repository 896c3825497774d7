internal import LoomFormat
internal import LoomStorage

/// The generations that readers hold, in this process and in others: see FORMAT.md, The directory.
struct ReaderPins {
    let directory: LogDirectory
    let storage: any Storage

    /// Pins a generation: what it lists stays readable while the pin is held, for 10 minutes from
    /// when it is no longer listed.
    ///
    /// A reader pins the generation that it has chosen and lists the manifests again: with a newer
    /// one it begins anew, as its files may have gone before the pin was seen.
    ///
    /// - Returns: `nil` where no pin is to be had: a copy without LOCK, a file system without
    ///   locks. The reader then finds out by a file that is gone.
    func pin(_ generation: UInt64) -> (any StoragePin)? {
        try? storage.pin(directory.lock, number: generation)
    }

    /// The least generation below another that somebody reads, and the other where nobody does: a
    /// superseded file may go when it was superseded by then.
    ///
    /// 0 where that cannot be told.
    func least(below generation: UInt64) -> UInt64 {
        do throws(StorageError) {
            return try storage.leastPin(directory.lock, below: generation) ?? generation
        } catch {
            return 0
        }
    }
}
