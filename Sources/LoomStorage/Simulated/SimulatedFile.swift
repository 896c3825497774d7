internal import SystemPackage

/// An open file of a simulated machine.
final class SimulatedFile: StorageFile {
    private struct Status {
        var isClosed = false
        var isMapped = false
    }

    let path: FilePath
    let identity: FileIdentity
    private let access: FileAccess
    private let world: Monitor<SimulatedWorld>
    private let status = Monitor(Status())

    /// Opens an inode that is there. The world's lock is held by the caller.
    init(
        _ path: FilePath, inode: UInt64, access: FileAccess, in world: Monitor<SimulatedWorld>,
        _ state: inout SimulatedWorld
    ) {
        self.path = path
        self.access = access
        self.world = world
        identity = FileIdentity(device: state.disk.device, inode: inode)
        state.disk.retain(inode)
    }

    deinit { letGo() }

    func size() throws(StorageError) -> Int {
        try run(SimulatedCall(.size, path)) { (content) throws(Errno) in ([], content.size) }
    }

    func read(
        into target: UnsafeMutableRawBufferPointer, at offset: Int
    ) throws(StorageError) -> Int {
        try run(SimulatedCall(.read, path, offset: offset, count: target.count)) {
            (content) throws(Errno) in
            if offset < 0 { throw .invalidArgument }
            return ([], unsafe content.read(into: target, at: offset))
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(StorageError) {
        let bytes = unsafe Array(bytes)
        let call = SimulatedCall(.write, path, offset: offset, count: bytes.count)
        try run(call, changes: true) { (_) throws(Errno) in
            if offset < 0 { throw .invalidArgument }
            return ([self.storing(bytes, at: offset)], ())
        }
    }

    func fillZeros(from offset: Int, to end: Int) throws(StorageError) {
        let call = SimulatedCall(.fillZeros, path, offset: offset, count: end - offset)
        try run(call, changes: true) { (_) throws(Errno) in
            if offset < 0 { throw .invalidArgument }
            return ([.fillZeros(self.identity.inode, offset: offset, end: end)], ())
        }
    }

    func truncate(to size: Int) throws(StorageError) {
        let call = SimulatedCall(.truncate, path, offset: size)
        try run(call, changes: true) { (_) throws(Errno) in
            if size < 0 { throw .invalidArgument }
            return ([.truncate(self.identity.inode, size: size)], ())
        }
    }

    func mapForAppending(length: Int) throws(StorageError) -> Bool {
        let supportsMapping = world.withLock { $0.supportsMapping }
        let call = SimulatedCall(.mapForAppending, path, count: length)
        let isPossible = try run(call, changes: supportsMapping) { (content) throws(Errno) in
            ([], supportsMapping && length > 0 && content.size >= length)
        }
        if isPossible { status.withLock { $0.isMapped = true } }
        return isPossible
    }

    func store(
        _ bytes: UnsafeRawBufferPointer, at offset: Int, surface: AppendSurface
    ) throws(StorageError) {
        let isMapped = surface == .mapped && status.withLock { $0.isMapped }
        let bytes = unsafe Array(bytes)
        let call = SimulatedCall(
            .store, path, offset: offset, count: bytes.count,
            surface: isMapped ? .mapped : .positional)
        try run(call, changes: true) { (content) throws(Errno) in
            // On a real machine this is the signal that the contract exists to prevent.
            if offset < 0 || offset + bytes.count > content.size { throw .badAddress }
            return ([self.storing(bytes, at: offset)], ())
        }
    }

    func storeWord(_ word: UInt64, at offset: Int) throws(StorageError) {
        var bytes: [UInt8] = []
        for index in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: word >> (8 * index))) }
        try run(SimulatedCall(.storeWord, path, offset: offset, count: 8), changes: true) {
            (content) throws(Errno) in
            if offset < 0 || offset % 8 != 0 { throw .invalidArgument }
            if offset + 8 > content.size { throw .badAddress }
            return ([self.storing(bytes, at: offset, isWord: true)], ())
        }
    }

    func loadWord(at offset: Int) throws(StorageError) -> UInt64 {
        try run(SimulatedCall(.loadWord, path, offset: offset, count: 8)) {
            (content) throws(Errno) in
            if offset < 0 || offset % 8 != 0 { throw .invalidArgument }
            var word: UInt64 = 0
            let count = unsafe withUnsafeMutableBytes(of: &word) {
                unsafe content.read(into: $0, at: offset)
            }
            guard count == 8 else { throw .ioError }
            return ([], UInt64(littleEndian: word))
        }
    }

    func syncData() throws(StorageError) { try sync(SimulatedCall(.syncData, path)) }
    func sync() throws(StorageError) { try sync(SimulatedCall(.sync, path)) }

    func dropCache() {
        let isClosed = status.withLock { $0.isClosed }
        world.withLock { world in
            guard !isClosed, (try? world.begin(SimulatedCall(.dropCache, path))) != nil else {
                return
            }
            world.disk.dropCache(identity.inode, with: &world.faultRandom)
        }
    }

    func close() throws(StorageError) {
        // Closed also when it fails: what the system does with the descriptor then is not known.
        guard letGo() else { return }
        try world.withLock { (world) throws(StorageError) in
            try world.begin(SimulatedCall(.close, path))
        }
    }
}

extension SimulatedFile {
    private func storing(
        _ bytes: [UInt8], at offset: Int, isWord: Bool = false
    ) -> SimulatedDisk.Change {
        .store(identity.inode, offset: offset, bytes: bytes, isWord: isWord)
    }

    private func run<Result>(
        _ call: SimulatedCall, changes: Bool = false,
        _ plan: (SimulatedContent) throws(Errno) -> ([SimulatedDisk.Change], Result)
    ) throws(StorageError) -> Result {
        let isRefused = status.withLock { $0.isClosed } || (changes && access == .reading)
        return try world.withLock { (world) throws(StorageError) in
            try world.run(call) { (world) throws(Errno) in
                guard !isRefused, let content = world.disk.content(identity.inode) else {
                    throw .badFileDescriptor
                }
                return try plan(content)
            }
        }
    }

    private func sync(_ call: SimulatedCall) throws(StorageError) {
        let isClosed = status.withLock { $0.isClosed }
        try world.sync(call) { (_) throws(Errno) in
            if isClosed { throw .badFileDescriptor }
            return identity.inode
        }
    }

    /// Gives the inode up once.
    @discardableResult
    private func letGo() -> Bool {
        let wasOpen = status.withLock { status in
            defer { status.isClosed = true }
            return !status.isClosed
        }
        if wasOpen { world.withLock { $0.disk.release(identity.inode) } }
        return wasOpen
    }
}
