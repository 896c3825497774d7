internal import SystemPackage

/// The simulated machine with its disk, its clock, its journal and what is to go wrong.
struct SimulatedWorld {
    /// A failure for one call, or for every call of a kind.
    struct Fault {
        let errno: Errno
        let extent: FaultExtent
    }

    var disk: SimulatedDisk
    let seed: UInt64
    let supportsMapping: Bool
    var boot: (UInt64, UInt64)
    var process = 1
    var random: SplitMix
    /// Apart from the machine's random numbers, so that a fault does not change those.
    var faultRandom: SplitMix
    var monotonic: UInt64 = 1_000_000_000
    var wallMicroseconds: UInt64 = 1_700_000_000_000_000
    var wallRemainder: UInt64 = 0
    var nanosecondsPerCall: UInt64 = 0

    var calls: [SimulatedCall] = []
    var crashIndex: Int?
    var isCrashed = false
    /// What the call was about to do at which the machine stopped.
    var flight: [SimulatedDisk.Change] = []
    var faults: [Int: Fault] = [:]
    var kindFaults: [SimulatedCall.Kind: Fault] = [:]
    /// The inodes that are locked, and by which lock.
    var locks: [UInt64: Int] = [:]
    var nextLock = 0
    /// How many names were moved into each folder that is watched.
    var arrivals: [UInt64: UInt64] = [:]
    /// How often each number of an inode is pinned.
    var pins: [UInt64: [UInt64: Int]] = [:]
    var whileSyncing: (@Sendable (SimulatedCall) -> Void)?

    init(disk: SimulatedDisk, seed: UInt64, supportsMapping: Bool) {
        self.disk = disk
        self.seed = seed
        self.supportsMapping = supportsMapping
        var random = SplitMix(seed: SplitMix.combined(seed, 1))
        boot = (random.next(), random.next())
        self.random = random
        faultRandom = SplitMix(seed: SplitMix.combined(seed, 2))
    }

    mutating func advance(nanoseconds: UInt64) {
        monotonic += nanoseconds
        wallRemainder += nanoseconds
        wallMicroseconds += wallRemainder / 1000
        wallRemainder %= 1000
    }
}

// MARK: - Calls

extension SimulatedWorld {
    /// Carries out a call: counts it, stops or fails it if that is its lot, applies its changes.
    ///
    /// - Parameter plan: Refuses the call, or says what it changes and what it returns.
    mutating func run<Result>(
        _ call: SimulatedCall,
        _ plan: (SimulatedWorld) throws(Errno) -> (changes: [SimulatedDisk.Change], Result)
    ) throws(StorageError) -> Result {
        try begin(call) { (world) throws(Errno) in try plan(world).changes }
        do throws(Errno) {
            let (changes, result) = try plan(self)
            for change in changes { try disk.apply(change) }
            return result
        } catch {
            throw call.error(error)
        }
    }

    /// The start of a call that changes nothing, or only what is durable.
    mutating func begin(_ call: SimulatedCall) throws(StorageError) {
        try begin(call) { _ in [] }
    }

    private mutating func begin(
        _ call: SimulatedCall,
        _ changes: (SimulatedWorld) throws(Errno) -> [SimulatedDisk.Change]
    ) throws(StorageError) {
        try checkAlive(call)
        let index = calls.count
        calls.append(call)
        advance(nanoseconds: nanosecondsPerCall)
        if index == crashIndex {
            flight = (try? changes(self)) ?? []
            isCrashed = true
            throw call.error(.ioError)
        }
        guard let fault = faults[index] ?? kindFaults[call.kind] else { return }
        let planned = (try? changes(self)) ?? []
        apply(planned, fault.extent)
        throw call.error(fault.errno)
    }

    func checkAlive(_ call: SimulatedCall) throws(StorageError) {
        if isCrashed { throw call.error(.ioError) }
    }

    private mutating func apply(_ changes: [SimulatedDisk.Change], _ extent: FaultExtent) {
        let total = changes.reduce(0) { $0 + $1.length }
        var left =
            switch extent {
            case .nothing: 0
            case .everything: total
            case .part: faultRandom.below(total + 1)
            }
        for change in changes {
            try? disk.apply(change, steps: left)
            left -= min(left, change.length)
        }
    }
}

// MARK: - Images

extension SimulatedWorld {
    /// The machine after the crash, with nothing running and nothing set to go wrong.
    func image(_ image: CrashImage, losesPower: Bool) -> SimulatedWorld {
        var sampler = ImageSampler(image)
        var disk = disk
        disk.finish(flight, &sampler)
        if losesPower { disk.losePower(&sampler) } else { disk.endProcesses() }
        let tag: UInt64 =
            switch image {
            case .nothingPending: 1
            case .everythingPending: 2
            case .sampled(let seed): seed &* 4 &+ 3
            }
        let seed = SplitMix.combined(seed, tag &+ (losesPower ? 0 : 1 << 63))
        var world = SimulatedWorld(disk: disk, seed: seed, supportsMapping: supportsMapping)
        world.process = process + 1
        world.nanosecondsPerCall = nanosecondsPerCall
        world.wallMicroseconds = wallMicroseconds
        world.wallRemainder = wallRemainder
        if !losesPower {
            world.boot = boot
            world.monotonic = monotonic
        }
        return world
    }
}
