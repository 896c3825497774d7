public import SystemPackage

/// A storage that holds on to one folder: paths below it lead into that very folder, whatever its
/// name leads to in the meantime.
///
/// Below the folder no symbolic link is followed. A path that is not below it throws
/// `invalidArgument`. New files and folders have the permissions of the folder: files its bits for
/// reading and writing, folders all of them. The umask has no say.
///
/// ```swift
/// let log = try POSIXStorage().anchored(at: "/var/lib/app/runs.loom")
/// let file = try log.open("/var/lib/app/runs.loom/LOCK", for: .reading)
/// ```
public protocol AnchoredStorage: Storage {
    /// The path by which the folder was found.
    var anchor: FilePath { get }

    /// Throws an error that ``StorageError/isDisplaced`` when the anchor's path no longer leads to
    /// the folder, or the name of one of `files` no longer leads to that file at its full size.
    ///
    /// So it notices that the folder was renamed, deleted or replaced, and that a file was. Costs
    /// a system call or two for each of them.
    func checkInPlace(_ files: [FilePlace]) throws(StorageError)
}

/// A file and where it should be found.
public struct FilePlace: Hashable, Sendable {
    /// Its path.
    public let path: FilePath
    /// Which file that is.
    public let identity: FileIdentity
    /// The bytes that it has at least.
    public let leastSize: Int

    /// Creates a place.
    public init(path: FilePath, identity: FileIdentity, leastSize: Int) {
        self.path = path
        self.identity = identity
        self.leastSize = leastSize
    }
}

extension Storage {
    /// For a storage that stands before another and passes calls on: it goes by the path alone and
    /// notices nothing.
    public func anchored(at path: FilePath) throws(StorageError) -> any AnchoredStorage {
        _ = try list(path)
        return PathStorage(base: self, anchor: path)
    }
}

/// An anchor that is the path alone.
private struct PathStorage: AnchoredStorage, StorageForwarding {
    let base: any Storage
    let anchor: FilePath

    func checkInPlace(_ files: [FilePlace]) throws(StorageError) {}
}
