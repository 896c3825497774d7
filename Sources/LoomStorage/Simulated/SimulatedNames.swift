/// The folders of a simulated file system: what is durable, and every change since, in order.
struct SimulatedNames {
    /// A name in a folder.
    struct Place: Hashable {
        let folder: UInt64
        let name: String
    }

    /// One atomic change: a creation has no `old` place, a removal no `new` one, a rename has both.
    struct Change {
        let inode: UInt64
        var old: Place?
        var new: Place?

        var removesFolder = false

        /// What it needs the earlier changes of to have happened.
        fileprivate var needs: Set<Tie> {
            var ties: Set<Tie> = [.inode(inode)]
            if let old { ties.insert(.place(old)) }
            if let new { ties.insert(.place(new)) }
            if removesFolder { ties.insert(.inside(inode)) }
            return ties
        }

        /// What it changes, for later ones that need it.
        fileprivate var marks: Set<Tie> {
            var ties = needs
            if let old { ties.insert(.inside(old.folder)) }
            if let new { ties.insert(.inside(new.folder)) }
            return ties
        }

        /// The folder whose sync makes it durable: the one that holds the entry afterwards.
        fileprivate var folder: UInt64? { (new ?? old)?.folder }
    }

    fileprivate enum Tie: Hashable {
        case inode(UInt64)
        case place(Place)
        /// Any entry of the folder.
        case inside(UInt64)
    }

    private struct Pending {
        let change: Change
        let stamp: UInt64
        var isForsaken = false
    }

    private var current: [UInt64: [String: UInt64]]
    private var durable: [UInt64: [String: UInt64]]
    private var pending: [Pending] = []

    init(root: UInt64) {
        current = [root: [:]]
        durable = [root: [:]]
    }

    /// Whether power loss could take anything away.
    var hasPending: Bool { !pending.isEmpty }

    /// The entries of a folder as they are seen now; `nil` for what is no folder.
    func entries(of folder: UInt64) -> [String: UInt64]? { current[folder] }

    /// The inodes that have a name now.
    var named: Set<UInt64> { Set(current.values.flatMap(\.values)) }

    mutating func apply(_ change: Change, isFolder: Bool, stamp: UInt64) {
        if isFolder, change.old == nil {
            current[change.inode] = [:]
            durable[change.inode] = [:]
        }
        Self.apply(change, to: &current)
        pending.append(Pending(change: change, stamp: stamp))
    }

    /// Makes the entries of a folder durable that were there at the stamp, and what they rest on.
    mutating func sync(_ folder: UInt64, upTo stamp: UInt64) {
        var needed: Set<Tie> = []
        var kept: [Change] = []
        for index in pending.indices.reversed() {
            let entry = pending[index]
            let isAsked =
                entry.change.folder == folder && entry.stamp <= stamp && !entry.isForsaken
            guard isAsked || !needed.isDisjoint(with: entry.change.marks) else { continue }
            needed.formUnion(entry.change.needs)
            kept.append(entry.change)
            pending.remove(at: index)
        }
        for change in kept.reversed() { Self.apply(change, to: &durable) }
    }

    /// A sync of the folder failed: no later one makes these changes durable by itself.
    mutating func forsake(_ folder: UInt64, upTo stamp: UInt64) {
        for index in pending.indices
        where pending[index].change.folder == folder && pending[index].stamp <= stamp {
            pending[index].isForsaken = true
        }
    }

    /// What power loss leaves: each change kept or lost, none kept without those that it rests on.
    mutating func losePower(_ sampler: inout ImageSampler) {
        var lost: Set<Tie> = []
        for entry in pending {
            if lost.isDisjoint(with: entry.change.needs), sampler.keepsName() {
                Self.apply(entry.change, to: &durable)
            } else {
                lost.formUnion(entry.change.marks)
            }
        }
        pending = []
        current = durable
    }

    /// Drops the folders among the inodes that nobody can reach.
    mutating func removeFolders(_ isGone: (UInt64) -> Bool) {
        current = current.filter { !isGone($0.key) }
        durable = durable.filter { !isGone($0.key) }
    }

    private static func apply(_ change: Change, to folders: inout [UInt64: [String: UInt64]]) {
        if let old = change.old { folders[old.folder]?[old.name] = nil }
        if let new = change.new { folders[new.folder]?[new.name] = change.inode }
    }
}
