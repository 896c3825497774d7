internal import LoomFormat
public import LoomLog
public import LoomModel
public import LoomRunner
internal import LoomRuns
internal import LoomStorage
internal import SystemPackage

/// Stops the machine at every call that changes the disk and inside every tool call, by a kill and
/// by a loss of power, and resumes: tells everything that is not as it should be.
///
/// ```swift
/// let problems = try await expectResumable(state: Order.State(items: 3)) { world in
///     Order(charge: world.tool("charge", safety: .once) { (cents: Int) in "receipt \(cents)" })
/// }
/// #expect(problems == [])
/// ```
///
/// After each crash the run must complete with the output of an uninterrupted one and verify; no
/// `.once` call is made twice; no call whose result was acknowledged is made again and no committed
/// step is lost, but for what the durability mode says a power loss may take. Runs on simulated
/// storage: hundreds of crashes take a second.
///
/// - Parameters:
///   - state: The first state.
///   - every: Visits every nth storage call; 1 visits all.
///   - make: Makes the loop of tools of the given world. Called for each start and resume.
/// - Returns: One line a problem; empty when all is well.
/// - Throws: When the uninterrupted run does not complete.
public func expectResumable<Loop: StepLoop>(
    state: Loop.State, policies: [CheckpointPolicy] = [.full, .interval(3), .compact],
    durabilities: [Durability] = Durability.allCases, every: Int = 1,
    _ make: @escaping @Sendable (CrashWorld) -> Loop
) async throws -> [String] where Loop.Output: Equatable {
    var problems: [String] = []
    for durability in durabilities {
        for policy in policies {
            let test = CrashTest(
                state: state, policy: policy, durability: durability, make: make)
            problems += try await test.run(every: max(1, every))
        }
    }
    return problems
}

/// One loop under one policy in one mode, crashed everywhere.
struct CrashTest<Loop: StepLoop> where Loop.Output: Equatable {
    let state: Loop.State
    let policy: CheckpointPolicy
    let durability: Durability
    let make: @Sendable (CrashWorld) -> Loop

    private static var path: FilePath { "/runs.loom" }
    private static var resumesMax: Int { 20 }

    /// Where the machine stops.
    private enum Point: CustomStringConvertible {
        case storageCall(Int)
        case toolCall(Int)
        var description: String {
            switch self {
            case .storageCall(let index): "at storage call \(index)"
            case .toolCall(let number): "in tool call \(number)"
            }
        }
    }

    func run(every: Int) async throws -> [String] {
        let dry = SimulatedStorage(seed: 4)
        let world = CrashWorld()
        let whole = try await drive(dry, world)
        guard whole.status == .completed, let output = whole.output else {
            throw StepFailure("the uninterrupted run ended as \(whole.status.rawValue)")
        }
        var points = dry.crashPoints.enumerated().filter { $0.offset % every == every / 2 }
            .map { Point.storageCall($0.element) }
        points += (0..<world.callCount).map { .toolCall($0 + 1) }
        var problems: [String] = []
        for (index, point) in points.enumerated() {
            for losesPower in [false, true] {
                let problem = await crash(point, losesPower, seed: UInt64(index), output)
                guard let problem else { continue }
                let how = losesPower ? "power lost" : "killed"
                problems.append("\(durability), \(policy), \(how) \(point): \(problem)")
            }
        }
        return problems
    }

    private func crash(
        _ point: Point, _ losesPower: Bool, seed: UInt64, _ output: Loop.Output
    ) async -> String? {
        let storage = SimulatedStorage(seed: 4)
        let world = CrashWorld()
        switch point {
        case .storageCall(let index): storage.crash(at: index)
        case .toolCall(let number): world.crash(storage, inCall: number)
        }
        var testimony = Testimony()
        _ = try? await drive(storage, world) { testimony = $0.testimony(losesPower: losesPower) }
        guard storage.isCrashed else { return "the machine did not stop" }
        let image =
            losesPower
            ? storage.powerLossImage(.sampled(seed)) : storage.killImage(.sampled(seed))
        do {
            let isLossy = losesPower && durability == .off
            if let lost = lostStep(in: image, testimony) { return lost }
            let before = world.performed
            let result = try await drive(image, world)
            guard result.status == .completed, result.output == output else {
                return "ended as \(result.status.rawValue), \(String(describing: result.output))"
            }
            let (isValid, notes) = try RunReader(path: Self.path, storage: image)
                .verify(try RunID("run"))
            guard isValid else { return "does not verify: \(notes)" }
            return isLossy ? nil : repeated(world, before, testimony)
        } catch { return "\(error)" }
    }

    private func lostStep(in image: SimulatedStorage, _ testimony: Testimony) -> String? {
        guard testimony.steps > 0 else { return nil }
        do {
            let summary = try RunReader(path: Self.path, storage: image).get(RunID("run")).summary
            guard summary.stepIndex < testimony.steps else { return nil }
            return "step \(testimony.steps) was acknowledged, \(summary.stepIndex) is there"
        } catch { return "acknowledged steps are lost: \(error)" }
    }

    /// A call that was made more often than it may.
    private func repeated(
        _ world: CrashWorld, _ before: [CrashWorld.Effect: Int], _ testimony: Testimony
    ) -> String? {
        for (effect, count) in world.performed {
            if world.safety(of: effect.tool) == .once && count > 1 {
                return "\(effect) happened \(count) times"
            }
            let isAgain = count > before[effect, default: 0]
            if isAgain && testimony.effects.contains(effect) {
                return "\(effect) was acknowledged and made again"
            }
        }
        return nil
    }

    /// Starts or resumes the run, resolving by the truth what nobody knows, until it is over or the
    /// machine stops.
    private func drive(
        _ storage: SimulatedStorage, _ world: CrashWorld,
        _ witnessed: (WitnessStore) -> Void = { _ in }
    ) async throws -> RunResult<Loop> {
        var logOptions = LogOptions(durability: durability)
        logOptions.driver = .inline
        logOptions.firstSegmentBytes = 64 << 10
        let log = try LogRunStore(path: Self.path, options: logOptions, storage: storage)
        let store = WitnessStore(log, durability)
        defer { witnessed(store) }
        var options = RunnerOptions.testing
        options.policy = policy
        let runner = Runner(make(world), store: store, options: options)
        let run = try RunID("run")
        var result = try await runner.start(run, state: state, ifExists: .attach)
        for _ in 0..<Self.resumesMax {
            guard result.status == .paused else { break }
            if case .unknownOutcome(let call, _)? = result.pauseReason {
                let rows = try RunReader(path: Self.path, storage: storage).toolCalls(run)
                guard let row = rows.first(where: { $0.position == call }) else { break }
                let control = RunControl(store: store, options: options)
                try await control.resolve(run, call: call, as: world.outcome(of: row.start))
            }
            result = try await runner.resume(run)
        }
        try log.close()
        return result
    }
}
