public import SystemPackage

/// A folder that paths begin at, by its number: its name may lead elsewhere in the meantime.
struct SimulatedAnchor {
    let path: FilePath
    /// The names on the way to the folder, when it was found.
    let steps: [String]
    let inode: UInt64
}

extension SimulatedStorage {
    /// See ``Storage/anchored(at:)``.
    public func anchored(at path: FilePath) throws(StorageError) -> any AnchoredStorage {
        let call = SimulatedCall(.anchored, path)
        let anchor = try world.withLock { (world) throws(StorageError) in
            try world.run(call) { (world) throws(Errno) in
                ([], try world.disk.anchor(at: path))
            }
        }
        return SimulatedAnchoredStorage(
            files: SimulatedStorage(world, anchor: anchor), folder: anchor)
    }
}

/// The simulated file system below one folder.
private struct SimulatedAnchoredStorage: AnchoredStorage, StorageForwarding {
    let files: SimulatedStorage
    let folder: SimulatedAnchor

    var anchor: FilePath { folder.path }
    var base: any Storage { files }

    func checkInPlace(_ places: [FilePlace]) throws(StorageError) {
        let call = SimulatedCall(.checkInPlace, folder.path)
        let displaced: FilePath? = try files.world.withLock { (world) throws(StorageError) in
            try world.run(call) { (world) throws(Errno) -> ([SimulatedDisk.Change], FilePath?) in
                guard (try? world.disk.find(folder.path, from: nil)) == folder.inode else {
                    return ([], folder.path)
                }
                return ([], places.first { !holds($0, world.disk) }?.path)
            }
        }
        guard let displaced else { return }
        throw .displaced(displaced)
    }

    private func holds(_ place: FilePlace, _ disk: SimulatedDisk) -> Bool {
        guard let inode = try? disk.find(place.path, from: folder) else { return false }
        let size = disk.content(inode)?.size ?? 0
        return inode == place.identity.inode && size >= place.leastSize
    }
}
