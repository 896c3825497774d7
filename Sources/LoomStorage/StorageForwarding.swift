package import SystemPackage

/// A storage over another one, to which it passes every call on that it does not make itself.
package protocol StorageForwarding: Storage {
    /// The storage below.
    var base: any Storage { get }
}

extension StorageForwarding {
    package var machine: any Machine { base.machine }

    package func createDirectory(_ path: FilePath) throws(StorageError) {
        try base.createDirectory(path)
    }
    package func createPrivateDirectory(_ path: FilePath) throws(StorageError) {
        try base.createPrivateDirectory(path)
    }
    package func watch(_ path: FilePath) throws(StorageError) -> any FolderWatch {
        try base.watch(path)
    }
    package func list(_ path: FilePath) throws(StorageError) -> [String] { try base.list(path) }
    package func rename(_ path: FilePath, to target: FilePath) throws(StorageError) {
        try base.rename(path, to: target)
    }
    package func link(_ path: FilePath, to target: FilePath) throws(StorageError) {
        try base.link(path, to: target)
    }
    package func remove(_ path: FilePath) throws(StorageError) { try base.remove(path) }
    package func removeDirectory(_ path: FilePath) throws(StorageError) {
        try base.removeDirectory(path)
    }
    package func syncDirectory(_ path: FilePath) throws(StorageError) {
        try base.syncDirectory(path)
    }
    package func availableBytes(at path: FilePath) throws(StorageError) -> Int {
        try base.availableBytes(at: path)
    }
    package func create(_ path: FilePath) throws(StorageError) -> any StorageFile {
        try base.create(path)
    }
    package func open(
        _ path: FilePath, for access: FileAccess
    ) throws(StorageError) -> any StorageFile { try base.open(path, for: access) }
    package func lock(
        _ path: FilePath, holder: String
    ) throws(StorageError) -> any StorageLock { try base.lock(path, holder: holder) }
    package func lockHolder(_ path: FilePath) throws(StorageError) -> String? {
        try base.lockHolder(path)
    }
    package func pin(_ path: FilePath, number: UInt64) throws(StorageError) -> any StoragePin {
        try base.pin(path, number: number)
    }
    package func leastPin(
        _ path: FilePath, below limit: UInt64
    ) throws(StorageError) -> UInt64? { try base.leastPin(path, below: limit) }
}
