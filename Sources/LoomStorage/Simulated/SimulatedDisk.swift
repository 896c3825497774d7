internal import SystemPackage

/// The simulated file system: a value, so that an image is a copy.
struct SimulatedDisk {
    static let root: UInt64 = 2

    let sectorBytes: Int
    let device: UInt64
    /// The bytes that all files together may have; `nil` for no limit.
    var capacity: Int?
    private(set) var names = SimulatedNames(root: Self.root)
    private var files: [UInt64: SimulatedContent] = [:]
    private var handles: [UInt64: Int] = [:]
    private(set) var nextInode = Self.root + 1
    private(set) var stamp: UInt64 = 0

    init(sectorBytes: Int, device: UInt64) {
        self.sectorBytes = sectorBytes
        self.device = device
    }

    /// One step of a call: what may be in flight when the machine stops.
    enum Change {
        /// Bytes into a file. A word happens whole or not at all.
        case store(UInt64, offset: Int, bytes: [UInt8], isWord: Bool)
        case fillZeros(UInt64, offset: Int, end: Int)
        case truncate(UInt64, size: Int)
        case name(SimulatedNames.Change, creates: Node?)

        /// In how many steps it may be cut.
        var length: Int {
            switch self {
            case .store(_, _, let bytes, let isWord): isWord ? 1 : bytes.count
            case .fillZeros(_, let offset, let end): max(0, end - offset)
            case .truncate, .name: 1
            }
        }
    }

    enum Node { case file, folder }

    var hasPending: Bool { names.hasPending || files.values.contains { $0.hasPending } }
    func content(_ inode: UInt64) -> SimulatedContent? { files[inode] }
    func isFolder(_ inode: UInt64) -> Bool { names.entries(of: inode) != nil }
    mutating func retain(_ inode: UInt64) { handles[inode, default: 0] += 1 }
    mutating func release(_ inode: UInt64) { handles[inode, default: 1] -= 1 }
}

// MARK: - Paths

extension SimulatedDisk {
    /// The names on the way from the root; relative paths begin there too.
    ///
    /// Not by `FilePath.components`: in debug builds they took most of the time of crash tests.
    private func steps(of path: FilePath) -> [String] {
        let text = unsafe path.withPlatformString { unsafe String(cString: $0) }
        var steps: [String] = []
        for step in text.utf8.split(separator: UInt8(ascii: "/")) {
            let step = String(decoding: step, as: UTF8.self)
            if step == ".." { _ = steps.popLast() } else if step != "." { steps.append(step) }
        }
        return steps
    }

    /// Where a path begins, and the names on the way from there.
    private func way(
        _ path: FilePath, from anchor: SimulatedAnchor?
    ) throws(Errno) -> (start: UInt64, steps: [String]) {
        let steps = steps(of: path)
        guard let anchor else { return (Self.root, steps) }
        guard steps.starts(with: anchor.steps) else { throw .invalidArgument }
        // Only an empty folder can have been removed: then it has no name, and takes none in.
        if names.entries(of: anchor.inode)?.isEmpty != false, anchor.inode != Self.root,
            !names.named.contains(anchor.inode)
        {
            throw .noSuchFileOrDirectory
        }
        return (anchor.inode, Array(steps.dropFirst(anchor.steps.count)))
    }

    /// An anchor at the folder that a path leads to.
    func anchor(at path: FilePath) throws(Errno) -> SimulatedAnchor {
        let inode = try find(path, from: nil)
        guard isFolder(inode) else { throw .notDirectory }
        return SimulatedAnchor(path: path, steps: steps(of: path), inode: inode)
    }

    /// The folder of a path and the name in it.
    func place(
        of path: FilePath, from anchor: SimulatedAnchor?
    ) throws(Errno) -> SimulatedNames.Place {
        var (start, steps) = try way(path, from: anchor)
        guard let name = steps.popLast() else { throw .fileExists }
        let folder = try walk(steps, from: start)
        guard isFolder(folder) else { throw .notDirectory }
        return SimulatedNames.Place(folder: folder, name: name)
    }

    func find(_ path: FilePath, from anchor: SimulatedAnchor?) throws(Errno) -> UInt64 {
        let (start, steps) = try way(path, from: anchor)
        return try walk(steps, from: start)
    }

    private func walk(_ steps: [String], from start: UInt64) throws(Errno) -> UInt64 {
        var inode = start
        for step in steps {
            guard let entries = names.entries(of: inode) else { throw .notDirectory }
            guard let next = entries[step] else { throw .noSuchFileOrDirectory }
            inode = next
        }
        return inode
    }

    func inode(at place: SimulatedNames.Place) -> UInt64? {
        names.entries(of: place.folder)?[place.name]
    }

    /// The change that makes a new file or folder.
    func creation(
        at path: FilePath, from anchor: SimulatedAnchor?, _ node: Node
    ) throws(Errno) -> Change {
        let place = try place(of: path, from: anchor)
        guard inode(at: place) == nil else { throw .fileExists }
        let change = SimulatedNames.Change(inode: nextInode, old: nil, new: place)
        return .name(change, creates: node)
    }

    /// Whether a path leads through a folder, or to it.
    func holds(_ folder: UInt64, _ path: FilePath, from anchor: SimulatedAnchor?) -> Bool {
        guard let (start, steps) = try? way(path, from: anchor) else { return false }
        return steps.indices.contains { (try? walk(Array(steps[...$0]), from: start)) == folder }
    }
}

// MARK: - Changes

extension SimulatedDisk {
    /// Does the first `steps` of a change's length, all of it by default.
    ///
    /// - Throws: `noSpace` with what fits done, when the file would grow beyond the capacity.
    mutating func apply(_ change: Change, steps: Int = .max) throws(Errno) {
        let steps = min(steps, change.length)
        guard steps > 0 else { return }
        stamp += 1
        switch change {
        case .store(let inode, let offset, let bytes, let isWord):
            let wanted = offset + (isWord ? bytes.count : steps)
            let end = endWithRoom(inode, wanted)
            let part = bytes.prefix(max(0, end - offset))
            files[inode]?.store(part, at: offset, isWord: isWord, stamp: stamp)
            if end < wanted { throw .noSpace }
        case .fillZeros(let inode, let offset, _):
            let end = endWithRoom(inode, offset + steps)
            files[inode]?.fillZeros(from: offset, to: end, stamp: stamp)
            if end < offset + steps { throw .noSpace }
        case .truncate(let inode, let size):
            files[inode]?.truncate(to: size, stamp: stamp)
        case .name(let change, let node):
            if node == .file { files[change.inode] = SimulatedContent(sectorBytes: sectorBytes) }
            names.apply(change, isFolder: node == .folder, stamp: stamp)
            nextInode = max(nextInode, change.inode + 1)
        }
    }

    /// How far a write up to `end` gets: growth takes space in whole 4 KiB, as a real file's does.
    private func endWithRoom(_ inode: UInt64, _ end: Int) -> Int {
        guard capacity != nil, let size = files[inode]?.size, end > size else { return end }
        let room = Self.blocks(size) + availableBytes / 4096 * 4096
        return min(end, room)
    }

    /// What the files leave of the capacity; `Int.max` without one.
    var availableBytes: Int { capacity.map { max(0, $0 - usedBytes) } ?? .max }

    private var usedBytes: Int {
        let named = names.named
        return files.reduce(0) { sum, file in
            let isHeld = named.contains(file.key) || handles[file.key, default: 0] > 0
            return isHeld ? sum + Self.blocks(file.value.size) : sum
        }
    }

    private static func blocks(_ size: Int) -> Int { (size + 4095) / 4096 * 4096 }
}

// MARK: - Durability

extension SimulatedDisk {
    mutating func sync(_ inode: UInt64, upTo stamp: UInt64) { files[inode]?.sync(upTo: stamp) }
    mutating func syncData(_ inode: UInt64, upTo stamp: UInt64) {
        files[inode]?.syncData(upTo: stamp)
    }
    mutating func syncFolder(_ inode: UInt64, upTo stamp: UInt64) {
        names.sync(inode, upTo: stamp)
    }
    mutating func forsake(_ inode: UInt64) {
        files[inode]?.forsake(upTo: stamp)
        names.forsake(inode, upTo: stamp)
    }
    mutating func dropCache(_ inode: UInt64, with random: inout SplitMix) {
        files[inode]?.dropCache(with: &random)
    }

    /// Does a part of what was in flight: some steps whole, the next one cut, the rest not begun.
    mutating func finish(_ flight: [Change], _ sampler: inout ImageSampler) {
        let total = flight.reduce(0) { $0 + $1.length }
        var left = sampler.cut(total)
        for change in flight {
            try? apply(change, steps: left)
            left -= min(left, change.length)
        }
    }

    /// What power loss leaves of everything: one allowed state, all of it durable.
    mutating func losePower(_ sampler: inout ImageSampler) {
        names.losePower(&sampler)
        for inode in files.keys.sorted() { files[inode]?.losePower(&sampler) }
        endProcesses()
        var reached: Set<UInt64> = [Self.root]
        var folders = [Self.root]
        while let folder = folders.popLast() {
            for inode in (names.entries(of: folder) ?? [:]).values
            where reached.insert(inode).inserted && isFolder(inode) {
                folders.append(inode)
            }
        }
        files = files.filter { reached.contains($0.key) }
        names.removeFolders { !reached.contains($0) }
    }

    /// Nobody has a file open any more.
    mutating func endProcesses() { handles = [:] }
}
