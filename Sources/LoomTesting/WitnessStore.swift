internal import LoomFormat
internal import LoomLog
internal import LoomModel
internal import LoomRunner
internal import Synchronization

/// What a store acknowledged, and what may still be lost of it: seen at the seam, by somebody who
/// is not the store.
struct Testimony: Sendable {
    /// Tool calls whose result was acknowledged.
    var effects: Set<CrashWorld.Effect> = []
    /// Steps that were acknowledged as committed.
    var steps: UInt64 = 0
}

/// Passes everything on, and remembers the acknowledged ends of calls and steps.
struct WitnessStore: RunStoreWrapper {
    let base: any RunStore
    private let durability: Durability
    private let state = Shared()

    private final class Shared: Sendable {
        struct State {
            var starts: [UInt64: CrashWorld.Effect] = [:]
            /// Survives a kill.
            var acknowledged = Testimony()
            /// Survives a loss of power as well.
            var durable = Testimony()
        }
        let state = Mutex(State())
    }

    init(_ base: any RunStore, _ durability: Durability) {
        self.base = base
        self.durability = durability
    }

    func testimony(losesPower: Bool) -> Testimony {
        state.state.withLock { losesPower ? $0.durable : $0.acknowledged }
    }

    func append(
        _ unit: RecordUnit, outline: () -> RunOutline
    ) throws(RunStoreError) -> Appending {
        let appending = try base.append(unit, outline: outline)
        let isDurable =
            switch durability {
            case .off: false
            case .normal: unit.isBarrier
            case .full: true
            }
        switch appending {
        case .answered(.ok): note(unit, isDurable: isDurable)
        case .answered: break
        case .pending(let wait):
            return .pending {
                let answer = await wait()
                if answer == .ok { note(unit, isDurable: isDurable) }
                return answer
            }
        }
        return appending
    }

    private func note(_ unit: RecordUnit, isDurable: Bool) {
        state.state.withLock { state in
            for (index, bytes) in unit.events.enumerated() {
                guard let event = try? RunEvent(decoding: bytes.rawSpan) else { continue }
                switch event.content {
                case .toolStarted(let start):
                    let request = String(decoding: start.request, as: UTF8.self)
                    state.starts[unit.position + UInt64(index)] = .init(
                        tool: start.name, request: request)
                case .toolFinished(let finish):
                    guard case .completed = finish.outcome, let effect = state.starts[finish.start]
                    else { continue }
                    state.acknowledged.effects.insert(effect)
                    if isDurable { state.durable.effects.insert(effect) }
                case .stepCommitted(let id, _):
                    state.acknowledged.steps = id.step + 1
                    if isDurable { state.durable.steps = id.step + 1 }
                default: continue
                }
            }
        }
    }
}
