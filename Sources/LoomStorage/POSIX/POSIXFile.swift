internal import CLoomSystem
internal import SystemPackage

/// A file descriptor and, for the file that is appended to, its mapping.
///
/// Sendable without checks: the descriptor never changes after `init`; the mapping is set once, by the
/// thread that prepares the file before it hands it on, and taken away by `close`, which the contract
/// of the writer puts after its last store.
@safe final class POSIXFile: StorageFile, @unchecked Sendable {
    let path: FilePath
    let identity: FileIdentity
    private let descriptor: CInt
    private let allowsMapping: Bool
    private var mapping: UnsafeMutableRawBufferPointer?
    private let isClosed = Monitor(false)

    /// Takes the descriptor over, also when it throws.
    init(_ path: FilePath, descriptor: CInt, allowsMapping: Bool) throws(StorageError) {
        self.path = path
        self.descriptor = descriptor
        self.allowsMapping = allowsMapping
        var (device, inode): (UInt64, UInt64) = (0, 0)
        let result = unsafe loom_identity(descriptor, &device, &inode)
        identity = FileIdentity(device: device, inode: inode)
        if result < 0 { _ = loom_close(descriptor) }
        try check(result, .open, path)
    }

    deinit { try? close() }

    func size() throws(StorageError) -> Int {
        let size = loom_size(descriptor)
        try check(size, .size, path)
        return Int(size)
    }

    func read(
        into target: UnsafeMutableRawBufferPointer, at offset: Int
    ) throws(StorageError) -> Int {
        let count = unsafe loom_pread(
            descriptor, target.baseAddress, target.count, Int64(offset))
        try check(count, .read, path)
        return Int(count)
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(StorageError) {
        let result = unsafe loom_pwrite_all(
            descriptor, bytes.baseAddress, bytes.count, Int64(offset))
        try check(result, .write, path)
    }

    func fillZeros(from offset: Int, to end: Int) throws(StorageError) {
        try check(loom_fill_zeros(descriptor, Int64(offset), Int64(end)), .fillZeros, path)
    }

    func mapForAppending(length: Int) throws(StorageError) -> Bool {
        guard allowsMapping, loom_can_map_appends(descriptor) else { return false }
        // A store behind the end of the file is a signal: the space must be there first.
        guard try size() >= length, length > 0 else { return false }
        if unsafe mapping != nil { return true }
        var address: UnsafeMutableRawPointer?
        try check(unsafe loom_map(descriptor, length, &address), .map, path)
        unsafe mapping = UnsafeMutableRawBufferPointer(start: address, count: length)
        return true
    }

    func store(
        _ bytes: UnsafeRawBufferPointer, at offset: Int, surface: AppendSurface
    ) throws(StorageError) {
        guard surface == .mapped, let mapping = unsafe mapping,
            offset >= 0, offset <= mapping.count - bytes.count
        else {
            unsafe try write(bytes, at: offset)
            return
        }
        unsafe UnsafeMutableRawBufferPointer(rebasing: mapping[offset...]).copyMemory(from: bytes)
    }

    func storeWord(_ word: UInt64, at offset: Int) throws(StorageError) {
        if let mapping = unsafe mapping, offset >= 0, offset % 8 == 0, offset <= mapping.count - 8 {
            unsafe loom_store_release(mapping.baseAddress.unsafelyUnwrapped + offset, word)
            return
        }
        let bytes = word.littleEndian
        try unsafe withUnsafeBytes(of: bytes) { (raw) throws(StorageError) in
            try unsafe write(raw, at: offset)
        }
    }

    func loadWord(at offset: Int) throws(StorageError) -> UInt64 {
        var word: UInt64 = 0
        if let mapping = unsafe mapping, offset >= 0, offset % 8 == 0, offset <= mapping.count - 8 {
            return unsafe loom_load_acquire(mapping.baseAddress.unsafelyUnwrapped + offset)
        }
        let count = try unsafe withUnsafeMutableBytes(of: &word) { (raw) throws(StorageError) in
            try unsafe read(into: raw, at: offset)
        }
        guard count == 8 else { throw StorageError(.read, path, .ioError) }
        return UInt64(littleEndian: word)
    }

    func syncData() throws(StorageError) {
        try check(loom_sync_data(descriptor), .sync, path)
    }

    func sync() throws(StorageError) {
        try check(loom_sync(descriptor), .sync, path)
    }

    func dropCache() { _ = loom_drop_cache(descriptor) }

    func close() throws(StorageError) {
        let wasClosed = isClosed.withLock { isClosed in
            defer { isClosed = true }
            return isClosed
        }
        if wasClosed { return }
        if let mapping = unsafe mapping, let base = mapping.baseAddress {
            _ = unsafe loom_unmap(base, mapping.count)
        }
        unsafe mapping = nil
        try check(loom_close(descriptor), .close, path)
    }
}
