public import SystemPackage

extension SimulatedStorage {
    /// See ``Storage/lock(_:holder:)``.
    public func lock(_ path: FilePath, holder: String) throws(StorageError) -> any StorageLock {
        let call = SimulatedCall(.lock, path)
        return try world.withLock { (state) throws(StorageError) in
            var text: String?
            do throws(StorageError) {
                let inode = try state.run(call) { (world) throws(Errno) in
                    try world.locking(path, from: anchor, holder, &text)
                }
                state.nextLock += 1
                state.locks[inode] = state.nextLock
                let place = FilePlace(
                    path: path, identity: .init(device: state.disk.device, inode: inode),
                    leastSize: holder.utf8.count)
                return SimulatedLock(place, number: state.nextLock, in: world)
            } catch {
                throw StorageError(error.operation, path, error.errno, holder: text)
            }
        }
    }

    /// See ``Storage/lockHolder(_:)``.
    public func lockHolder(_ path: FilePath) throws(StorageError) -> String? {
        let call = SimulatedCall(.lockHolder, path)
        return try world.withLock { (state) throws(StorageError) in
            try state.run(call) { (world) throws(Errno) in
                guard let inode = try? world.disk.find(path, from: anchor),
                    world.locks[inode] != nil
                else {
                    return ([], nil)
                }
                return ([], world.holderText(inode))
            }
        }
    }
}

extension SimulatedWorld {
    /// What taking a lock does to the disk: the file is made if need be, emptied, and filled.
    fileprivate func locking(
        _ path: FilePath, from anchor: SimulatedAnchor?, _ holder: String,
        _ heldBy: inout String?
    ) throws(Errno) -> ([SimulatedDisk.Change], UInt64) {
        let place = try disk.place(of: path, from: anchor)
        let existing = disk.inode(at: place)
        if let existing, disk.isFolder(existing) { throw .isDirectory }
        if let existing, locks[existing] != nil {
            heldBy = holderText(existing)
            throw .wouldBlock
        }
        let inode = existing ?? disk.nextInode
        let text = SimulatedDisk.Change.store(
            inode, offset: 0, bytes: Array(holder.utf8), isWord: false)
        if existing != nil { return ([.truncate(inode, size: 0), text], inode) }
        return ([try disk.creation(at: path, from: anchor, .file), text], inode)
    }

    fileprivate func holderText(_ inode: UInt64) -> String {
        var bytes = [UInt8](repeating: 0, count: holderBytesMax)
        let count = unsafe bytes.withUnsafeMutableBytes { target in
            unsafe disk.content(inode)?.read(into: target, at: 0) ?? 0
        }
        return cleanHolder(bytes.prefix(count))
    }
}

/// A lock that the end of the simulated process frees, as images hold none.
final class SimulatedLock: StorageLock {
    let place: FilePlace
    private let number: Int
    private let world: Monitor<SimulatedWorld>

    init(_ place: FilePlace, number: Int, in world: Monitor<SimulatedWorld>) {
        self.place = place
        self.number = number
        self.world = world
    }

    deinit { free(isCall: false) }

    func release() { free(isCall: true) }

    private func free(isCall: Bool) {
        world.withLock { world in
            guard world.locks[place.identity.inode] == number else { return }
            world.locks[place.identity.inode] = nil
            if isCall { try? world.begin(SimulatedCall(.release, place.path)) }
        }
    }
}
