public import SystemPackage

extension SimulatedStorage {
    /// See ``Storage/pin(_:number:)``.
    public func pin(_ path: FilePath, number: UInt64) throws(StorageError) -> any StoragePin {
        let call = SimulatedCall(.pin, path)
        return try world.withLock { (state) throws(StorageError) in
            let inode = try state.run(call) { (world) throws(Errno) in
                guard number < UInt64(1) << 62 else { throw .invalidArgument }
                let inode = try world.disk.find(path, from: anchor)
                if world.disk.isFolder(inode) { throw .isDirectory }
                return ([], inode)
            }
            state.pins[inode, default: [:]][number, default: 0] += 1
            return SimulatedPin(path, inode: inode, number: number, in: world)
        }
    }

    /// See ``Storage/leastPin(_:below:)``.
    public func leastPin(
        _ path: FilePath, below limit: UInt64
    ) throws(StorageError) -> UInt64? {
        let call = SimulatedCall(.leastPin, path)
        return try world.withLock { (state) throws(StorageError) in
            try state.run(call) { (world) throws(Errno) in
                let inode = try world.disk.find(path, from: anchor)
                return ([], world.pins[inode]?.keys.filter { $0 < limit }.min())
            }
        }
    }
}

/// A pin that the end of the simulated process frees, as images hold none.
final class SimulatedPin: StoragePin {
    private let path: FilePath
    private let inode: UInt64
    private let number: UInt64
    private let world: Monitor<SimulatedWorld>
    private let isHeld = Monitor(true)

    init(_ path: FilePath, inode: UInt64, number: UInt64, in world: Monitor<SimulatedWorld>) {
        (self.path, self.inode, self.number, self.world) = (path, inode, number, world)
    }

    deinit { free(isCall: false) }

    func release() { free(isCall: true) }

    private func free(isCall: Bool) {
        let wasHeld = isHeld.withLock { held in
            defer { held = false }
            return held
        }
        guard wasHeld else { return }
        world.withLock { world in
            let left = (world.pins[inode]?[number] ?? 1) - 1
            world.pins[inode]?[number] = left > 0 ? left : nil
            if isCall { try? world.begin(SimulatedCall(.release, path)) }
        }
    }
}
