internal import CLoomSystem
internal import SystemPackage

/// The calls of ``POSIXStorage``, with paths that begin at an anchor or nowhere in particular.
struct POSIXCalls {
    let anchor: POSIXAnchor
    let allowsMapping: Bool

    func createDirectory(_ path: FilePath) throws(StorageError) {
        try unsafe call(path, .createDirectory) { unsafe loom_make_directory($0, $1) }
    }

    func createPrivateDirectory(_ path: FilePath) throws(StorageError) {
        try unsafe call(path, .createDirectory) { unsafe loom_make_private_directory($0, $1) }
    }

    func watch(_ path: FilePath) throws(StorageError) -> any FolderWatch {
        try POSIXWatch(path, in: anchor)
    }

    func list(_ path: FilePath) throws(StorageError) -> [String] {
        var names: [String] = []
        try unsafe call(path, .list) { anchor, path in
            unsafe withUnsafeMutablePointer(to: &names) { names in
                unsafe loom_list(anchor, path, names) { context, name in
                    unsafe context.assumingMemoryBound(to: [String].self).pointee.append(
                        String(cString: name))
                }
            }
        }
        return names
    }

    func rename(_ path: FilePath, to target: FilePath) throws(StorageError) {
        let result = try unsafe anchor.resolve(path, .rename) { anchor, from in
            Result { () throws(StorageError) in
                try unsafe self.anchor.resolve(target, .rename) { _, to in
                    unsafe loom_rename_exclusive(anchor, from, to)
                }
            }
        }
        try check(try result.get(), .rename, path)
    }

    func link(_ path: FilePath, to target: FilePath) throws(StorageError) {
        let result = try unsafe anchor.resolve(path, .link) { anchor, from in
            Result { () throws(StorageError) in
                try unsafe self.anchor.resolve(target, .link) { _, to in
                    unsafe loom_link(anchor, from, to)
                }
            }
        }
        try check(try result.get(), .link, target)
    }

    func remove(_ path: FilePath) throws(StorageError) {
        try unsafe call(path, .remove) { unsafe loom_unlink($0, $1) }
    }

    func removeDirectory(_ path: FilePath) throws(StorageError) {
        try unsafe call(path, .remove) { unsafe loom_remove_directory($0, $1) }
    }

    func syncDirectory(_ path: FilePath) throws(StorageError) {
        let descriptor = try open(path, LOOM_OPEN_FOLDER, .syncDirectory)
        defer { _ = loom_close(descriptor) }
        try check(loom_sync(descriptor), .syncDirectory, path)
    }

    func availableBytes(at path: FilePath) throws(StorageError) -> Int {
        let bytes = try unsafe anchor.resolve(path, .availableBytes) {
            unsafe loom_available_bytes($0, $1)
        }
        try check(bytes, .availableBytes, path)
        return Int(bytes)
    }

    func create(_ path: FilePath) throws(StorageError) -> any StorageFile {
        let descriptor = try open(path, LOOM_OPEN_CREATE, .create)
        return try POSIXFile(path, descriptor: descriptor, .writing, allowsMapping: allowsMapping)
    }

    func open(_ path: FilePath, for access: FileAccess) throws(StorageError) -> any StorageFile {
        let mode = access == .reading ? LOOM_OPEN_READ : LOOM_OPEN_WRITE
        let descriptor = try open(path, mode, .open)
        return try POSIXFile(path, descriptor: descriptor, access, allowsMapping: allowsMapping)
    }

    func lock(_ path: FilePath, holder: String) throws(StorageError) -> any StorageLock {
        let descriptor: CInt
        do throws(StorageError) {
            descriptor = try open(path, LOOM_OPEN_CREATE, .lock)
        } catch {
            guard error.isFileExists else { throw error }
            descriptor = try open(path, LOOM_OPEN_WRITE, .lock)
        }
        return try POSIXLock(path, descriptor: descriptor, holder: holder)
    }

    func lockHolder(_ path: FilePath) throws(StorageError) -> String? {
        let descriptor: CInt
        do throws(StorageError) {
            descriptor = try open(path, LOOM_OPEN_READ, .lock)
        } catch {
            if error.isNotFound { return nil }
            throw error
        }
        defer { _ = loom_close(descriptor) }
        return try POSIXLock.holder(of: path, descriptor)
    }

    func pin(_ path: FilePath, number: UInt64) throws(StorageError) -> any StoragePin {
        try POSIXPin(path, descriptor: try open(path, LOOM_OPEN_READ, .pin), number: number)
    }

    func leastPin(_ path: FilePath, below limit: UInt64) throws(StorageError) -> UInt64? {
        let descriptor = try open(path, LOOM_OPEN_READ, .pin)
        defer { _ = loom_close(descriptor) }
        let least = loom_least_pin(descriptor, limit)
        if least == -Int64(Errno.noData.rawValue) { return nil }
        try check(least, .pin, path)
        return UInt64(least)
    }

    private func open(
        _ path: FilePath, _ mode: Int, _ operation: StorageError.Operation
    ) throws(StorageError) -> CInt {
        try unsafe call(path, operation) { unsafe loom_open($0, $1, CInt(mode)) }
    }

    @discardableResult
    private func call(
        _ path: FilePath, _ operation: StorageError.Operation,
        _ body: (CInt, UnsafePointer<CChar>) -> CInt
    ) throws(StorageError) -> CInt {
        let result = try unsafe anchor.resolve(path, operation, body)
        try check(result, operation, path)
        return result
    }
}

/// Throws the refusal of a call in `loomsystem.h`: a negated errno, or what it met.
func check(
    _ result: some SignedInteger, _ operation: StorageError.Operation, _ path: FilePath
) throws(StorageError) {
    guard result < 0 else { return }
    let code = Int(-result)
    if let met = IrregularFile(code: code - LOOM_IRREGULAR) {
        throw StorageError(operation, path, .noSuchAddressOrDevice, irregular: met)
    }
    throw StorageError(operation, path, Errno(rawValue: CInt(code)))
}

extension IrregularFile {
    fileprivate init?(code: Int) {
        switch code {
        case LOOM_LINK: self = .symbolicLink
        case LOOM_LINK_ON_THE_WAY: self = .behindSymbolicLink
        case LOOM_FIFO: self = .fifo
        case LOOM_SOCKET: self = .socket
        case LOOM_DEVICE: self = .device
        default: return nil
        }
    }
}
