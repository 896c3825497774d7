internal import CLoomSystem
internal import SystemPackage

/// A file descriptor and, for the file that is appended to or of which words are loaded, its
/// mapping.
///
/// Calls that use the descriptor are counted, those that only touch the mapping need not be: see
/// ``UseCount`` and ``POSIXMapping``. In a forked child a file that can be written is closed: its
/// descriptor and mapping are the parent's.
final class POSIXFile: StorageFile {
    let path: FilePath
    let identity: FileIdentity
    private let descriptor: CInt
    private let access: FileAccess
    private let allowsMapping: Bool
    private let generation = ForkGeneration.current
    private let mapping = POSIXMapping()
    private let uses = UseCount()

    /// Takes the descriptor over, also when it throws.
    init(
        _ path: FilePath, descriptor: CInt, _ access: FileAccess, allowsMapping: Bool
    ) throws(StorageError) {
        self.path = path
        self.descriptor = descriptor
        self.access = access
        self.allowsMapping = allowsMapping
        var (device, inode): (UInt64, UInt64) = (0, 0)
        let result = unsafe loom_identity(descriptor, &device, &inode)
        identity = FileIdentity(device: device, inode: inode)
        // When this throws, `deinit` closes: all properties are set.
        try check(result, .open, path)
    }

    deinit { try? close() }

    func size() throws(StorageError) -> Int {
        Int(try use(.size) { loom_size($0) })
    }

    func owner() throws(StorageError) -> UInt32? {
        UInt32(exactly: try use(.owner) { loom_owner($0) })
    }

    func read(
        into target: UnsafeMutableRawBufferPointer, at offset: Int
    ) throws(StorageError) -> Int {
        Int(
            try use(.read) { descriptor in
                unsafe loom_pread(descriptor, target.baseAddress, target.count, Int64(offset))
            })
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(StorageError) {
        unsafe try put(bytes, at: offset, .write)
    }

    func fillZeros(from offset: Int, to end: Int) throws(StorageError) {
        try use(.fillZeros) { loom_fill_zeros($0, Int64(offset), Int64(end)) }
    }

    func truncate(to size: Int) throws(StorageError) {
        guard try self.size() > size else { return }
        try use(.truncate) { loom_truncate($0, Int64(size)) }
    }

    func mapForAppending(length: Int) throws(StorageError) -> Bool {
        try map(length, for: .writing)
    }

    func mapForLoading(length: Int) throws(StorageError) -> Bool {
        try map(length, for: .reading)
    }

    private func map(_ length: Int, for use: FileAccess) throws(StorageError) -> Bool {
        // A store behind the end of the file is a signal: the space must be there first.
        guard try size() >= length, length > 0, allowsMapping, access == use else { return false }
        let isWritable = use == .writing
        var isPossible = false
        try self.use(.map) { descriptor -> CInt in
            isPossible = loom_can_map_appends(descriptor)
            guard isPossible else { return 0 }
            return mapping.extend(to: length, of: descriptor, isWritable: isWritable)
        }
        return isPossible
    }

    func store(
        _ bytes: UnsafeRawBufferPointer, at offset: Int, surface: AppendSurface
    ) throws(StorageError) {
        guard surface == .mapped, access == .writing,
            let address = unsafe mapping.address(of: offset, count: bytes.count)
        else {
            unsafe try put(bytes, at: offset, .store)
            return
        }
        try checkGeneration(.store)
        unsafe UnsafeMutableRawBufferPointer(start: address, count: bytes.count)
            .copyMemory(from: bytes)
        try checkMapping(.store)
    }

    func storeWord(_ word: UInt64, at offset: Int) throws(StorageError) {
        try checkAligned(offset, .store)
        if access == .writing, let address = unsafe mapping.address(of: offset, count: 8) {
            try checkGeneration(.store)
            unsafe loom_store_release(address, word.littleEndian)
            try checkMapping(.store)
            return
        }
        try unsafe withUnsafeBytes(of: word.littleEndian) { (raw) throws(StorageError) in
            try unsafe put(raw, at: offset, .store)
        }
    }

    func loadWord(at offset: Int) throws(StorageError) -> UInt64 {
        try checkAligned(offset, .read)
        // A forked child reads what was opened for reading as if it were not mapped.
        let isMapped = access == .writing || generation.isCurrent
        if isMapped, let address = unsafe mapping.address(of: offset, count: 8) {
            try checkGeneration(.read)
            let word = UInt64(littleEndian: unsafe loom_load_acquire(address))
            try checkMapping(.read)
            return word
        }
        var word: UInt64 = 0
        let count = try unsafe withUnsafeMutableBytes(of: &word) { (raw) throws(StorageError) in
            try unsafe read(into: raw, at: offset)
        }
        guard count == 8 else { throw StorageError(.read, path, .ioError) }
        return UInt64(littleEndian: word)
    }

    func syncData() throws(StorageError) { try use(.sync) { loom_sync_data($0) } }
    func sync() throws(StorageError) { try use(.sync) { loom_sync($0) } }
    func dropCache() { _ = try? use(.sync) { loom_drop_cache($0) } }

    func close() throws(StorageError) {
        guard isOurs else { return }
        defer { mapping.detach() }
        // While other calls use the descriptor, the last of them closes it and tells nobody how.
        if uses.close() { try check(loom_close(descriptor), .close, path) }
    }
}

extension POSIXFile {
    /// Whether descriptor and mapping are those of this process.
    private var isOurs: Bool { access == .reading || generation.isCurrent }

    private func checkGeneration(
        _ operation: StorageError.Operation
    ) throws(StorageError) {
        if !generation.isCurrent { throw StorageError(operation, path, .badFileDescriptor) }
    }

    /// Makes a system call with the descriptor, which stays this file's until it returns.
    @discardableResult
    private func use<Result: SignedInteger>(
        _ operation: StorageError.Operation, _ call: (CInt) -> Result
    ) throws(StorageError) -> Result {
        guard isOurs else { throw StorageError(operation, path, .badFileDescriptor) }
        defer { if uses.leave() { _ = loom_close(descriptor) } }
        guard uses.enter() else { throw StorageError(operation, path, .badFileDescriptor) }
        let result = call(descriptor)
        try check(result, operation, path)
        return result
    }

    private func put(
        _ bytes: UnsafeRawBufferPointer, at offset: Int, _ operation: StorageError.Operation
    ) throws(StorageError) {
        try use(operation) { descriptor in
            unsafe loom_pwrite_all(descriptor, bytes.baseAddress, bytes.count, Int64(offset))
        }
    }

    /// After a store or a load through the mapping: whether it was one of the file. The file is
    /// taken out of the mapping once it is marked as closed, and when it was cut.
    private func checkMapping(_ operation: StorageError.Operation) throws(StorageError) {
        if uses.isClosed { throw StorageError(operation, path, .badFileDescriptor) }
        guard mapping.isLost else { return }
        let isCut = (try? size()).map { $0 < mapping.byteCount } ?? false
        throw isCut
            ? .displaced(path)
            : StorageError(operation, path, .ioError)
    }

    private func checkAligned(
        _ offset: Int, _ operation: StorageError.Operation
    ) throws(StorageError) {
        guard offset >= 0, offset % 8 == 0 else {
            throw StorageError(operation, path, .invalidArgument)
        }
    }
}
