public import SystemPackage

/// The real file system.
///
/// New files are the owner's alone: 0600, and 0700 for folders, whatever the umask. Below an anchor
/// they are as open as its folder: see ``AnchoredStorage``.
///
/// ```swift
/// let storage = POSIXStorage()
/// let file = try storage.create("/var/lib/app/runs.loom/notes")
/// ```
public struct POSIXStorage: Storage {
    /// The surfaces that files may use: without `mapped`, every store is a `pwrite`.
    public let allowsMapping: Bool
    /// This machine.
    public let machine: any Machine

    /// Creates the storage. `allowsMapping: false` forces the positional surface everywhere.
    public init(allowsMapping: Bool = true) {
        self.allowsMapping = allowsMapping
        machine = POSIXMachine()
    }

    private var calls: POSIXCalls { POSIXCalls(anchor: .none, allowsMapping: allowsMapping) }

    /// See ``Storage/anchored(at:)``.
    public func anchored(at path: FilePath) throws(StorageError) -> any AnchoredStorage {
        let anchor = try POSIXAnchor(path)
        return POSIXAnchoredStorage(
            calls: POSIXCalls(anchor: anchor, allowsMapping: allowsMapping), machine: machine)
    }

    /// See ``Storage/createDirectory(_:)``.
    public func createDirectory(_ path: FilePath) throws(StorageError) {
        try calls.createDirectory(path)
    }

    /// See ``Storage/createPrivateDirectory(_:)``.
    public func createPrivateDirectory(_ path: FilePath) throws(StorageError) {
        try calls.createPrivateDirectory(path)
    }

    /// See ``Storage/watch(_:)``.
    public func watch(_ path: FilePath) throws(StorageError) -> any FolderWatch {
        try calls.watch(path)
    }

    /// See ``Storage/list(_:)``.
    public func list(_ path: FilePath) throws(StorageError) -> [String] { try calls.list(path) }

    /// See ``Storage/rename(_:to:)``.
    public func rename(_ path: FilePath, to target: FilePath) throws(StorageError) {
        try calls.rename(path, to: target)
    }

    /// See ``Storage/link(_:to:)``.
    public func link(_ path: FilePath, to target: FilePath) throws(StorageError) {
        try calls.link(path, to: target)
    }

    /// See ``Storage/remove(_:)``.
    public func remove(_ path: FilePath) throws(StorageError) { try calls.remove(path) }

    /// See ``Storage/removeDirectory(_:)``.
    public func removeDirectory(_ path: FilePath) throws(StorageError) {
        try calls.removeDirectory(path)
    }

    /// See ``Storage/syncDirectory(_:)``.
    public func syncDirectory(_ path: FilePath) throws(StorageError) {
        try calls.syncDirectory(path)
    }

    /// See ``Storage/availableBytes(at:)``.
    public func availableBytes(at path: FilePath) throws(StorageError) -> Int {
        try calls.availableBytes(at: path)
    }

    /// See ``Storage/create(_:)``.
    public func create(_ path: FilePath) throws(StorageError) -> any StorageFile {
        try calls.create(path)
    }

    /// See ``Storage/open(_:for:)``.
    public func open(
        _ path: FilePath, for access: FileAccess
    ) throws(StorageError) -> any StorageFile { try calls.open(path, for: access) }

    /// See ``Storage/lock(_:holder:)``.
    public func lock(_ path: FilePath, holder: String) throws(StorageError) -> any StorageLock {
        try calls.lock(path, holder: holder)
    }

    /// See ``Storage/lockHolder(_:)``.
    public func lockHolder(_ path: FilePath) throws(StorageError) -> String? {
        try calls.lockHolder(path)
    }

    /// See ``Storage/pin(_:number:)``.
    public func pin(_ path: FilePath, number: UInt64) throws(StorageError) -> any StoragePin {
        try calls.pin(path, number: number)
    }

    /// See ``Storage/leastPin(_:below:)``.
    public func leastPin(
        _ path: FilePath, below limit: UInt64
    ) throws(StorageError) -> UInt64? { try calls.leastPin(path, below: limit) }
}

/// The real file system below one folder that is held open.
struct POSIXAnchoredStorage: AnchoredStorage {
    let calls: POSIXCalls
    let machine: any Machine

    var anchor: FilePath { calls.anchor.path }

    func checkInPlace(_ files: [FilePlace]) throws(StorageError) {
        try calls.anchor.checkInPlace(files)
    }

    func createDirectory(_ path: FilePath) throws(StorageError) { try calls.createDirectory(path) }
    func createPrivateDirectory(_ path: FilePath) throws(StorageError) {
        try calls.createPrivateDirectory(path)
    }
    func watch(_ path: FilePath) throws(StorageError) -> any FolderWatch { try calls.watch(path) }
    func list(_ path: FilePath) throws(StorageError) -> [String] { try calls.list(path) }
    func rename(_ path: FilePath, to target: FilePath) throws(StorageError) {
        try calls.rename(path, to: target)
    }
    func link(_ path: FilePath, to target: FilePath) throws(StorageError) {
        try calls.link(path, to: target)
    }
    func remove(_ path: FilePath) throws(StorageError) { try calls.remove(path) }
    func removeDirectory(_ path: FilePath) throws(StorageError) { try calls.removeDirectory(path) }
    func syncDirectory(_ path: FilePath) throws(StorageError) { try calls.syncDirectory(path) }
    func availableBytes(at path: FilePath) throws(StorageError) -> Int {
        try calls.availableBytes(at: path)
    }
    func create(_ path: FilePath) throws(StorageError) -> any StorageFile {
        try calls.create(path)
    }
    func open(
        _ path: FilePath, for access: FileAccess
    ) throws(StorageError) -> any StorageFile { try calls.open(path, for: access) }
    func lock(_ path: FilePath, holder: String) throws(StorageError) -> any StorageLock {
        try calls.lock(path, holder: holder)
    }
    func lockHolder(_ path: FilePath) throws(StorageError) -> String? {
        try calls.lockHolder(path)
    }
    func pin(_ path: FilePath, number: UInt64) throws(StorageError) -> any StoragePin {
        try calls.pin(path, number: number)
    }
    func leastPin(
        _ path: FilePath, below limit: UInt64
    ) throws(StorageError) -> UInt64? { try calls.leastPin(path, below: limit) }
}
