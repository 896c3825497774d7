public import SystemPackage

extension SimulatedStorage {
    /// See ``Storage/watch(_:)``. A wait without a limit lasts until a rename into the folder, a
    /// wake, or the end of the machine; one with a limit is over at once, as time stands still.
    public func watch(_ path: FilePath) throws(StorageError) -> any FolderWatch {
        let call = SimulatedCall(.watch, path)
        return try world.withLock { (state) throws(StorageError) in
            let inode = try state.run(call) { (world) throws(Errno) in
                let inode = try world.disk.find(path, from: anchor)
                guard world.disk.isFolder(inode) else { throw .notDirectory }
                return ([], inode)
            }
            state.arrivals[inode] = state.arrivals[inode] ?? 0
            return SimulatedWatch(folder: inode, seen: state.arrivals[inode] ?? 0, world: world)
        }
    }
}

/// Counts what was moved into a folder of a simulated machine.
private final class SimulatedWatch: FolderWatch {
    private struct State {
        var seen: UInt64
        var isWoken = false
    }

    private let folder: UInt64
    private let world: Monitor<SimulatedWorld>
    private let state: Monitor<State>

    init(folder: UInt64, seen: UInt64, world: Monitor<SimulatedWorld>) {
        self.folder = folder
        self.world = world
        state = Monitor(State(seen: seen))
    }

    func wait(nanoseconds: UInt64?) -> FolderChange {
        world.wait { world -> MonitorStep<FolderChange> in
            if world.isCrashed { return .finish(.gone) }
            let count = world.arrivals[folder] ?? 0
            let change: FolderChange? = state.withLock { state in
                if state.seen != count {
                    state.seen = count
                    return .names
                }
                defer { state.isWoken = false }
                return state.isWoken ? .woken : nil
            }
            if let change { return .finish(change) }
            return nanoseconds == nil ? .wait(until: nil) : .finish(.nothing)
        }
    }

    func wake() {
        // With the world's lock, so that no wait is between its look and its sleep.
        world.withLock { _ in state.withLock { $0.isWoken = true } }
        world.notifyAll()
    }
}
