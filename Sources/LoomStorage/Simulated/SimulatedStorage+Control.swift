public import SystemPackage

/// How much of a call happens that is made to fail.
public enum FaultExtent: Hashable, Sendable {
    /// Nothing: the disk is as before.
    case nothing
    /// Some of it, drawn from the seed: a part of the bytes, or a change of names or not.
    case part
    /// All of it, and yet it is reported as failed.
    case everything
}

// MARK: - The journal

extension SimulatedStorage {
    /// The calls so far: the index of a call is its place here.
    ///
    /// Not among them: calls after the crash, closing and releasing by letting the object go.
    public var calls: [SimulatedCall] { world.withLock { $0.calls } }

    /// How many calls there were; the index of the next one.
    public var callCount: Int { world.withLock { $0.calls.count } }

    /// The indices of the calls that may have changed the disk: all that crash tests need to visit.
    public var crashPoints: [Int] {
        world.withLock { world in
            world.calls.indices.filter { world.calls[$0].kind.changesDisk }
        }
    }

    /// Whether a power loss now could take anything away that was done.
    public var hasPending: Bool { world.withLock { $0.disk.hasPending } }
}

// MARK: - Faults

extension SimulatedStorage {
    /// Makes one call fail, once.
    ///
    /// A failed sync leaves what was dirty in doubt for ever, whatever the extent: power loss may
    /// take it, and later syncs succeed without making it durable, until it is stored again.
    public func failCall(at index: Int, with errno: Errno, extent: FaultExtent = .part) {
        world.withLock { $0.faults[index] = .init(errno: errno, extent: extent) }
    }

    /// Makes every call of a kind fail until ``stopFailing(_:)``.
    public func failCalls(
        of kind: SimulatedCall.Kind, with errno: Errno, extent: FaultExtent = .part
    ) {
        world.withLock { $0.kindFaults[kind] = .init(errno: errno, extent: extent) }
    }

    /// Ends ``failCalls(of:with:extent:)`` for a kind.
    public func stopFailing(_ kind: SimulatedCall.Kind) {
        world.withLock { $0.kindFaults[kind] = nil }
    }

    /// The bytes that all files together may take, in whole 4 KiB a file; `nil` for no limit.
    ///
    /// Growing beyond it throws `noSpace` with what fits done; raising it or removing files heals.
    public var capacity: Int? {
        get { world.withLock { $0.disk.capacity } }
        set { world.withLock { $0.disk.capacity = newValue } }
    }

    /// Runs `body` in the middle of every sync: what it stores is not covered by that sync.
    ///
    /// `body` may call the storage; a sync in it runs `body` again. A file that `body` holds stays
    /// open until `nil` is set.
    public func whileSyncing(_ body: (@Sendable (SimulatedCall) -> Void)?) {
        // The old body is let go outside of the lock: it may hold the last reference to a file.
        let old = world.withLock { world in
            defer { world.whileSyncing = body }
            return world.whileSyncing
        }
        withExtendedLifetime(old) {}
    }
}

// MARK: - The clock

extension SimulatedStorage {
    /// Moves both clocks on.
    public func advanceClock(nanoseconds: UInt64) {
        world.withLock { $0.advance(nanoseconds: nanoseconds) }
    }

    /// Sets the wall clock, back too, as people and time servers do.
    public func setWallClock(microseconds: UInt64) {
        world.withLock { $0.wallMicroseconds = microseconds }
    }

    /// How far every call moves both clocks on; 0 at first. Images keep it.
    public var nanosecondsPerCall: UInt64 {
        get { world.withLock { $0.nanosecondsPerCall } }
        set { world.withLock { $0.nanosecondsPerCall = newValue } }
    }
}

// MARK: - Crashes

extension SimulatedStorage {
    /// Stops the machine when the call of this index begins: it throws `ioError` and so does every
    /// later call, so that the work under test unwinds. What the call does may have begun.
    public func crash(at index: Int) { world.withLock { $0.crashIndex = index } }

    /// Stops the machine now, between two calls.
    public func crash() {
        world.withLock { $0.isCrashed = true }
        world.notifyAll()
    }

    /// Whether the machine has stopped: the images are then fixed.
    public var isCrashed: Bool { world.withLock { $0.isCrashed } }

    /// A machine started on what a power loss now would leave, all of it durable.
    ///
    /// Files keep their identities; the boot is another one, no lock is held, no fault is set, the
    /// capacity stays. This storage is not changed, so any number of images can be made.
    public func powerLossImage(_ image: CrashImage) -> SimulatedStorage {
        SimulatedStorage(world.withLock { $0.image(image, losesPower: true) })
    }

    /// The same machine after the end of all its processes, as by `kill -9`.
    ///
    /// Every call that returned has happened; the one in flight may be cut at any byte. What was
    /// not durable still is not: a power loss of the image may take it. The boot is the same one.
    public func killImage(_ image: CrashImage) -> SimulatedStorage {
        SimulatedStorage(world.withLock { $0.image(image, losesPower: false) })
    }
}
