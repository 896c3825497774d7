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
private struct PathStorage: AnchoredStorage {
    let base: any Storage
    let anchor: FilePath

    var machine: any Machine { base.machine }
    func checkInPlace(_ files: [FilePlace]) throws(StorageError) {}

    func createDirectory(_ path: FilePath) throws(StorageError) { try base.createDirectory(path) }
    func list(_ path: FilePath) throws(StorageError) -> [String] { try base.list(path) }
    func rename(_ path: FilePath, to target: FilePath) throws(StorageError) {
        try base.rename(path, to: target)
    }
    func remove(_ path: FilePath) throws(StorageError) { try base.remove(path) }
    func removeDirectory(_ path: FilePath) throws(StorageError) { try base.removeDirectory(path) }
    func syncDirectory(_ path: FilePath) throws(StorageError) { try base.syncDirectory(path) }
    func availableBytes(at path: FilePath) throws(StorageError) -> Int {
        try base.availableBytes(at: path)
    }
    func create(_ path: FilePath) throws(StorageError) -> any StorageFile { try base.create(path) }
    func open(
        _ path: FilePath, for access: FileAccess
    ) throws(StorageError) -> any StorageFile { try base.open(path, for: access) }
    func lock(_ path: FilePath, holder: String) throws(StorageError) -> any StorageLock {
        try base.lock(path, holder: holder)
    }
    func lockHolder(_ path: FilePath) throws(StorageError) -> String? {
        try base.lockHolder(path)
    }
}
