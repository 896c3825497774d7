public import SystemPackage

/// A call that reached the simulated machine.
public struct SimulatedCall: Hashable, Sendable {
    /// Which call of ``Storage``, ``StorageFile``, ``StorageLock`` or ``StoragePin``.
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        /// Calls that can change what is on the disk.
        case createDirectory, removeDirectory, rename, link, remove, create, lock
        /// Calls that can change what is on the disk.
        case write, fillZeros, truncate, store, storeWord
        /// Calls that make changes durable.
        case syncDirectory, syncData, sync
        /// Calls that change nothing.
        case list, open, lockHolder, size, read, mapForAppending, loadWord, dropCache, close
        /// Calls that change nothing.
        case anchored, checkInPlace, availableBytes, watch
        /// Calls that change nothing.
        case release, pin, leastPin

        /// Whether the disk may differ before and after it: a crash at any other call leaves the
        /// images of the next one that does.
        public var changesDisk: Bool {
            switch self {
            case .createDirectory, .removeDirectory, .rename, .remove, .create, .lock, .link: true
            case .write, .fillZeros, .truncate, .store, .storeWord: true
            case .syncDirectory, .syncData, .sync: true
            case .list, .open, .lockHolder, .size, .read, .mapForAppending, .loadWord: false
            case .dropCache, .close, .release, .anchored, .checkInPlace: false
            case .availableBytes, .watch, .pin, .leastPin: false
            }
        }

        var operation: StorageError.Operation {
            switch self {
            case .createDirectory: .createDirectory
            case .list: .list
            case .rename: .rename
            case .link: .link
            case .remove, .removeDirectory: .remove
            case .create: .create
            case .open: .open
            case .lock, .lockHolder, .release: .lock
            case .size: .size
            case .read, .loadWord: .read
            case .write: .write
            case .fillZeros: .fillZeros
            case .truncate: .truncate
            case .availableBytes: .availableBytes
            case .mapForAppending: .map
            case .store, .storeWord: .store
            case .syncDirectory: .syncDirectory
            case .syncData, .sync, .dropCache: .sync
            case .close: .close
            case .anchored: .anchor
            case .checkInPlace: .checkInPlace
            case .watch: .watch
            case .pin, .leastPin: .pin
            }
        }
    }

    /// Which call.
    public let kind: Kind
    /// The file or folder it was for.
    public let path: FilePath
    /// The first byte, for calls that have one.
    public let offset: Int?
    /// The number of bytes, for calls that have one.
    public let count: Int?
    /// The surface that carried it, for stores.
    public let surface: AppendSurface?

    init(
        _ kind: Kind, _ path: FilePath, offset: Int? = nil, count: Int? = nil,
        surface: AppendSurface? = nil
    ) {
        self.kind = kind
        self.path = path
        self.offset = offset
        self.count = count
        self.surface = surface
    }

    func error(_ errno: Errno, holder: String? = nil) -> StorageError {
        StorageError(kind.operation, path, errno, holder: holder)
    }
}

extension SimulatedCall: CustomStringConvertible {
    /// One line: `store /log/1 at 4096, 112 bytes, mapped`.
    public var description: String {
        var text = "\(kind.rawValue) \(path)"
        if let offset { text += " at \(offset)" }
        if let count { text += ", \(count) bytes" }
        if let surface { text += ", \(surface.rawValue)" }
        return text
    }
}
