import LoomStorage
import SystemPackage
import Testing

extension Storage {
    /// The whole content of a file.
    func bytes(of path: FilePath) throws -> [UInt8] {
        let file = try open(path, for: .reading)
        defer { try? file.close() }
        return try file.readBytes(count: try file.size(), at: 0)
    }

    /// Whether a file or folder has that name.
    func has(_ path: FilePath) throws -> Bool {
        do {
            try open(path, for: .reading).close()
            return true
        } catch let error where error.isNotFound {
            return false
        }
    }

    /// Makes a file of the bytes; nothing of it is durable.
    @discardableResult
    func make(_ path: FilePath, _ bytes: [UInt8] = []) throws -> any StorageFile {
        let file = try create(path)
        if !bytes.isEmpty { try file.writeBytes(bytes, at: 0) }
        return file
    }

    /// Makes a file of the bytes; all of it is durable.
    func makeDurable(_ path: FilePath, _ bytes: [UInt8]) throws -> any StorageFile {
        let file = try make(path, bytes)
        try file.sync()
        try syncDirectory(path.removingLastComponent())
        return file
    }
}

extension StorageFile {
    /// Stores an array inside filled space.
    func storeBytes(
        _ bytes: [UInt8], at offset: Int, surface: AppendSurface = .positional
    ) throws {
        try unsafe bytes.withUnsafeBytes { unsafe try store($0, at: offset, surface: surface) }
    }
}

/// The error that a call throws; `nil` when it throws none.
func storageError(_ body: () throws -> Void) throws -> StorageError? {
    do {
        try body()
        return nil
    } catch let error as StorageError {
        return error
    }
}

/// `count` times the byte.
func run(_ byte: UInt8, _ count: Int) -> [UInt8] { [UInt8](repeating: byte, count: count) }
