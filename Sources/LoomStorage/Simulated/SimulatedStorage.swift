public import SystemPackage

/// A file system in memory that knows what is durable, and can crash at every call.
///
/// It holds what ``Storage`` promises and takes away everything else. Power loss leaves any of
/// these states, independently of each other:
/// - Each dirty sector of a file holds its content at some instant since the last sync of the file
///   began. An instant may lie within a store, which is then cut at any byte; a word never is.
/// - A file has any of the sizes since its last full sync; where it grew and holds no bytes yet are
///   zeros. A data sync makes only bytes inside the size durable that a full sync has made durable.
/// - Each creation, rename and removal since the last sync of the folder is kept or lost. A rename
///   leaves the old name or the new one. What is durable stays, also beside a store that is cut.
///
/// Nothing is random that is not drawn from the seed, and time stands still until it is advanced.
///
/// ```swift
/// let storage = SimulatedStorage(seed: 7)
/// storage.crash(at: 12)
/// try? workload(storage)
/// try recover(storage.powerLossImage(.sampled(3)))
/// ```
public final class SimulatedStorage: Storage {
    let world: Monitor<SimulatedWorld>
    /// The folder that paths begin at; `nil` for the root.
    let anchor: SimulatedAnchor?

    /// Creates an empty file system that has the folder `/`. Relative paths begin there.
    ///
    /// - Parameters:
    ///   - seed: Decides all that is random.
    ///   - sectorBytes: What the disk writes as one: 512, or 4096 for a harsher model.
    ///   - supportsMapping: Whether ``StorageFile/mapForAppending(length:)`` says yes.
    ///   - capacity: The bytes that all files together may take; `nil` for no limit.
    public init(
        seed: UInt64 = 1, sectorBytes: Int = 512, supportsMapping: Bool = true,
        capacity: Int? = nil
    ) {
        precondition(sectorBytes > 0 && sectorBytes % 8 == 0, "a sector holds whole words")
        var disk = SimulatedDisk(
            sectorBytes: sectorBytes, device: SplitMix.combined(seed, 3))
        disk.capacity = capacity
        world = Monitor(SimulatedWorld(disk: disk, seed: seed, supportsMapping: supportsMapping))
        anchor = nil
    }

    init(_ world: sending SimulatedWorld) {
        self.world = Monitor(world)
        anchor = nil
    }

    /// The same file system, seen from a folder.
    init(_ world: Monitor<SimulatedWorld>, anchor: SimulatedAnchor) {
        self.world = world
        self.anchor = anchor
    }

    /// This machine; its clock moves only by ``advanceClock(nanoseconds:)`` and by sleeping.
    public var machine: any Machine { SimulatedMachine(world: world) }

    /// See ``Storage/createDirectory(_:)``.
    public func createDirectory(_ path: FilePath) throws(StorageError) {
        let call = SimulatedCall(.createDirectory, path)
        try world.withLock { (world) throws(StorageError) in
            try world.run(call) { (world) throws(Errno) in
                ([try world.disk.creation(at: path, from: anchor, .folder)], ())
            }
        }
    }

    /// See ``Storage/list(_:)``. The order differs between seeds, but not between runs.
    public func list(_ path: FilePath) throws(StorageError) -> [String] {
        let call = SimulatedCall(.list, path)
        return try world.withLock { (world) throws(StorageError) in
            try world.run(call) { (world) throws(Errno) in
                let folder = try world.disk.find(path, from: anchor)
                guard let entries = world.disk.names.entries(of: folder) else {
                    throw .notDirectory
                }
                let salt = world.seed
                return (
                    [],
                    entries.sorted {
                        (SplitMix.combined(salt, $0.value), $0.key)
                            < (SplitMix.combined(salt, $1.value), $1.key)
                    }.map(\.key)
                )
            }
        }
    }

    /// See ``Storage/rename(_:to:)``.
    public func rename(_ path: FilePath, to target: FilePath) throws(StorageError) {
        let call = SimulatedCall(.rename, path)
        try world.withLock { (world) throws(StorageError) in
            try world.run(call) { (world) throws(Errno) in
                let disk = world.disk
                let inode = try disk.find(path, from: anchor)
                let new = try disk.place(of: target, from: anchor)
                guard disk.inode(at: new) == nil else { throw .fileExists }
                let old = try disk.place(of: path, from: anchor)
                if disk.isFolder(inode), disk.holds(inode, target, from: anchor) {
                    throw .invalidArgument
                }
                let change = SimulatedNames.Change(inode: inode, old: old, new: new)
                return ([.name(change, creates: nil)], ())
            }
            if let folder = try? world.disk.place(of: target, from: anchor).folder {
                world.arrivals[folder]? += 1
            }
        }
        world.notifyAll()
    }

    /// See ``Storage/link(_:to:)``.
    public func link(_ path: FilePath, to target: FilePath) throws(StorageError) {
        let call = SimulatedCall(.link, target)
        try world.withLock { (world) throws(StorageError) in
            try world.run(call) { (world) throws(Errno) in
                let disk = world.disk
                let inode = try disk.find(path, from: anchor)
                if disk.isFolder(inode) { throw .notPermitted }
                let new = try disk.place(of: target, from: anchor)
                guard disk.inode(at: new) == nil else { throw .fileExists }
                let change = SimulatedNames.Change(inode: inode, old: nil, new: new)
                return ([.name(change, creates: nil)], ())
            }
        }
    }

    /// See ``Storage/remove(_:)``.
    public func remove(_ path: FilePath) throws(StorageError) {
        let call = SimulatedCall(.remove, path)
        try world.withLock { (world) throws(StorageError) in
            try world.run(call) { (world) throws(Errno) in
                let inode = try world.disk.find(path, from: anchor)
                if world.disk.isFolder(inode) { throw .isDirectory }
                let old = try world.disk.place(of: path, from: anchor)
                let change = SimulatedNames.Change(inode: inode, old: old, new: nil)
                return ([.name(change, creates: nil)], ())
            }
        }
    }

    /// See ``Storage/removeDirectory(_:)``.
    public func removeDirectory(_ path: FilePath) throws(StorageError) {
        let call = SimulatedCall(.removeDirectory, path)
        try world.withLock { (world) throws(StorageError) in
            try world.run(call) { (world) throws(Errno) in
                let inode = try world.disk.find(path, from: anchor)
                guard let entries = world.disk.names.entries(of: inode) else {
                    throw .notDirectory
                }
                if !entries.isEmpty { throw .directoryNotEmpty }
                let old = try world.disk.place(of: path, from: anchor)
                let change = SimulatedNames.Change(
                    inode: inode, old: old, new: nil, removesFolder: true)
                return ([.name(change, creates: nil)], ())
            }
        }
    }

    /// See ``Storage/syncDirectory(_:)``.
    public func syncDirectory(_ path: FilePath) throws(StorageError) {
        try world.sync(SimulatedCall(.syncDirectory, path)) { (disk) throws(Errno) in
            let inode = try disk.find(path, from: anchor)
            if !disk.isFolder(inode) { throw .notDirectory }
            return inode
        }
    }

    /// See ``Storage/availableBytes(at:)``: what ``capacity`` leaves.
    public func availableBytes(at path: FilePath) throws(StorageError) -> Int {
        let call = SimulatedCall(.availableBytes, path)
        return try world.withLock { (world) throws(StorageError) in
            try world.run(call) { (world) throws(Errno) in
                _ = try world.disk.find(path, from: anchor)
                return ([], world.disk.availableBytes)
            }
        }
    }

    /// See ``Storage/create(_:)``.
    public func create(_ path: FilePath) throws(StorageError) -> any StorageFile {
        let call = SimulatedCall(.create, path)
        return try world.withLock { (state) throws(StorageError) in
            let inode = try state.run(call) { (world) throws(Errno) in
                ([try world.disk.creation(at: path, from: anchor, .file)], world.disk.nextInode)
            }
            return SimulatedFile(path, inode: inode, access: .writing, in: world, &state)
        }
    }

    /// See ``Storage/open(_:for:)``.
    public func open(
        _ path: FilePath, for access: FileAccess
    ) throws(StorageError) -> any StorageFile {
        let call = SimulatedCall(.open, path)
        return try world.withLock { (state) throws(StorageError) in
            let inode = try state.run(call) { (world) throws(Errno) in
                let inode = try world.disk.find(path, from: anchor)
                if world.disk.isFolder(inode) { throw .isDirectory }
                return ([], inode)
            }
            return SimulatedFile(path, inode: inode, access: access, in: world, &state)
        }
    }
}

/// The simulated machine's own words; its clock moves only when it is told to.
struct SimulatedMachine: Machine {
    let world: Monitor<SimulatedWorld>

    var boot: (UInt64, UInt64)? { world.withLock { $0.boot } }
    var processDescription: String { world.withLock { "pid \($0.process) on simulated" } }
    func wallMicroseconds() -> UInt64 { world.withLock { $0.wallMicroseconds } }
    func monotonicNanoseconds() -> UInt64 { world.withLock { $0.monotonic } }
    func random() -> UInt64 { world.withLock { $0.random.next() } }
    func sleep(nanoseconds: UInt64) { world.withLock { $0.advance(nanoseconds: nanoseconds) } }
}

extension Monitor<SimulatedWorld> {
    /// A sync of a file or folder: covers the changes up to its start and none that came meanwhile.
    func sync(
        _ call: SimulatedCall, _ find: (SimulatedDisk) throws(Errno) -> UInt64
    ) throws(StorageError) {
        let (inode, stamp, hook) = try withLock { (world) throws(StorageError) in
            do throws(StorageError) {
                try world.begin(call)
            } catch {
                // Stopped is not failed: the next process may sync and believe it.
                if !world.isCrashed, let inode = try? find(world.disk) {
                    world.disk.forsake(inode)
                }
                throw error
            }
            do throws(Errno) {
                return (try find(world.disk), world.disk.stamp, world.whileSyncing)
            } catch {
                throw call.error(error)
            }
        }
        hook?(call)
        try withLock { (world) throws(StorageError) in
            try world.checkAlive(call)
            switch call.kind {
            case .sync: world.disk.sync(inode, upTo: stamp)
            case .syncData: world.disk.syncData(inode, upTo: stamp)
            default: world.disk.syncFolder(inode, upTo: stamp)
            }
        }
    }
}
