import LoomModel
import Testing

/// Events to try in every state, right ones and wrong ones; the name is that of its row.
enum FoldProbe: String, CaseIterable {
    case created
    case createdInterval0 = "created, interval 0"

    case attemptStarted = "attempt started"
    case attemptAgain = "attempt started, index of the last one"
    case attemptSkipping = "attempt started, index skipped"
    case attemptOfNext = "attempt started, next step"
    case attemptOfOther = "attempt started, far step"

    case attemptFailed = "attempt failed"
    case attemptFailedOther = "attempt failed, other attempt"
    case attemptFailedStep = "attempt failed, other step"

    case toolStarted = "tool started"
    case toolStartedOther = "tool started, other attempt"
    case toolStartedStep = "tool started, other step"
    case payAgain = "tool started, once, key in use"
    case payOther = "tool started, once, other request"
    case askAgain = "tool started, idempotent, key in use"
    case shared = "tool started, shared, other scope"

    case toolCompleted = "tool finished, completed"
    case toolFailed = "tool finished, failed"
    case toolDidNotHappen = "tool finished, did not happen"
    case toolFinishedPerson = "tool finished, said by a person"
    case toolFinishedCorrection = "tool finished, corrected by a person"
    case toolFinishedNoCall = "tool finished, no call there"
    case toolFinishedItself = "tool finished, at its own place"

    case toolReused = "tool reused"
    case toolReusedNoAnswer = "tool reused, no answer there"
    case toolReusedOther = "tool reused, other attempt"
    case toolReusedStep = "tool reused, other step"

    case stepCommitted = "step committed"
    case stepCommittedOther = "step committed, other attempt"
    case stepCommittedStep = "step committed, other step"

    case runCompleted = "run completed"
    case runCompletedOther = "run completed, other attempt"
    case runCompletedStep = "run completed, other step"

    case snapshot
    case snapshotOfNext = "snapshot, next step"
    case snapshotOfOther = "snapshot, far step"

    case pausedBudget = "paused, budget"
    case pausedRequested = "paused, requested"
    case pausedInterrupted = "paused, interrupted"
    case pausedUnknown = "paused, unknown outcome"
    case pausedTooOften = "paused, interrupted too often"
    case resumed
    case failed
    case cancelled
    case retried
    case labelled
    case policyFull = "policy full"
    case policyInterval = "policy interval"
    case policyInterval0 = "policy interval 0"
    case policyCompact = "policy compact"
    case migrated
    case toolThrew = "tool threw"
    case toolThrewNoCall = "tool threw, no call there"
    case asked
    case deleted
}

extension FoldProbe {
    /// The event as it would be in a state: right but for what the name says.
    func content(
        in facts: FoldState.Facts, position: UInt64
    ) throws -> RunEvent.Content {
        let last = Make.id(facts.step, facts.last)
        let other = Make.id(facts.step, facts.last + 1)
        let elsewhere = Make.id(facts.step + 1, facts.last)
        return try #require(
            attempt(facts) ?? tool(facts, last, other, elsewhere, position)
                ?? ending(last, other, elsewhere) ?? change(facts),
            "the probe \(rawValue) has no event")
    }

    private func attempt(_ facts: FoldState.Facts) -> RunEvent.Content? {
        switch self {
        case .created: Make.created
        case .createdInterval0: .created(RunCreation(loop: "loop", policy: .interval(0), state: []))
        case .attemptStarted: Make.start(facts.step, facts.due)
        case .attemptAgain: Make.start(facts.step, facts.last)
        case .attemptSkipping: Make.start(facts.step, facts.due + 1)
        case .attemptOfNext: Make.start(facts.step + 1, 0)
        case .attemptOfOther: Make.start(facts.step == 0 ? 7 : 0, facts.due)
        default: nil
        }
    }

    private func tool(
        _ facts: FoldState.Facts, _ last: AttemptID, _ other: AttemptID, _ elsewhere: AttemptID,
        _ position: UInt64
    ) -> RunEvent.Content? {
        switch self {
        case .toolStarted: Make.ask(last, occurrence: 1)
        case .toolStartedOther: Make.ask(other, occurrence: 1)
        case .toolStartedStep: Make.ask(elsewhere, occurrence: 1)
        case .payAgain: Make.pay(last)
        case .payOther: Make.pay(last, request: [9])
        case .askAgain: Make.ask(last)
        case .shared: Make.share(last)
        case .toolCompleted: Make.finish(facts.call, .completed(result: [4]))
        case .toolFailed: Make.finish(facts.call, .failed(Make.failure))
        case .toolDidNotHappen: Make.finish(facts.call, .didNotHappen)
        case .toolFinishedPerson: Make.finish(facts.call, .didNotHappen, by: .person)
        case .toolFinishedCorrection: Make.finish(facts.call, .didNotHappen, by: .correction)
        case .toolFinishedNoCall: Make.finish(1, .completed(result: [4]))
        case .toolFinishedItself: Make.finish(position, .didNotHappen)
        case .toolThrew: .toolThrew(start: facts.call, Make.failure)
        case .toolThrewNoCall: .toolThrew(start: 1, Make.failure)
        case .toolReused: Make.reuse(last, facts.finish)
        case .toolReusedNoAnswer: Make.reuse(last, 1)
        case .toolReusedOther: Make.reuse(other, facts.finish)
        case .toolReusedStep: Make.reuse(elsewhere, facts.finish)
        default: nil
        }
    }

    private func ending(
        _ last: AttemptID, _ other: AttemptID, _ elsewhere: AttemptID
    ) -> RunEvent.Content? {
        switch self {
        case .attemptFailed: .attemptFailed(last, Make.failure, .retry(delay: 1))
        case .attemptFailedOther: .attemptFailed(other, Make.failure, .retry(delay: 1))
        case .attemptFailedStep: .attemptFailed(elsewhere, Make.failure, .fail)
        case .stepCommitted: .stepCommitted(last, delta: [5])
        case .stepCommittedOther: .stepCommitted(other, delta: [5])
        case .stepCommittedStep: .stepCommitted(elsewhere, delta: [5])
        case .runCompleted: .runCompleted(last, result: [6])
        case .runCompletedOther: .runCompleted(other, result: [6])
        case .runCompletedStep: .runCompleted(elsewhere, result: [6])
        default: nil
        }
    }

    /// Events that belong to no attempt.
    private func change(_ facts: FoldState.Facts) -> RunEvent.Content? {
        switch self {
        case .snapshot: .snapshot(step: facts.step, state: [8])
        case .snapshotOfNext: .snapshot(step: facts.step + 1, state: [8])
        case .snapshotOfOther: .snapshot(step: facts.step == 0 ? 7 : 0, state: [8])
        case .pausedBudget: .paused(.budget)
        case .pausedRequested: .paused(.requested("tea"))
        case .pausedInterrupted: .paused(.interrupted)
        case .pausedUnknown: .paused(.unknownOutcome(call: facts.call))
        case .pausedTooOften: .paused(.interruptedTooOften)
        case .resumed: .resumed(holder: "another")
        case .failed: .failed(Make.failure)
        case .cancelled: .cancelled(reason: "enough")
        case .retried: .retried
        case .policyFull: .policyChanged(.full)
        case .policyInterval: .policyChanged(.interval(3))
        case .policyInterval0: .policyChanged(.interval(0))
        case .policyCompact: .policyChanged(.compact)
        case .migrated: .migrated(stateVersion: 2, state: [9])
        case .asked: Make.asked
        case .deleted: .deleted
        case .labelled: .labelled([Label(name: "b", value: "2"), Label(name: "a", value: "")])
        default: nil
        }
    }
}

extension FoldProbe {
    /// What is expected of every probe in every state. The columns are the letters of `FoldState`.
    ///
    /// | letter | meaning |
    /// |---|---|
    /// | . | refused |
    /// | r p c f x | accepted; the run is running, paused, completed, failed, cancelled after it |
    /// | = | accepted; the status stays |
    static let table = """
                                                 0 wfskhli oudnj bqcmyte CFXR
        created                                  r ....... ..... ....... ....
        created, interval 0                      . ....... ..... ....... ....
        attempt started                          . rrrrrrr rrrrr ....... ....
        attempt started, index of the last one   . r.rrrr. ..... ....... ....
        attempt started, index skipped           . ....... ..... ....... ....
        attempt started, next step               . ....... ..... ....... ....
        attempt started, far step                . ....... ..... ....... ....
        attempt failed                           . ....... rrrrr ....... ....
        attempt failed, other attempt            . ....... ..... ....... ....
        attempt failed, other step               . ....... ..... ....... ....
        tool started                             . ....... rrrrr ....... ....
        tool started, other attempt              . ....... ..... ....... ....
        tool started, other step                 . ....... ..... ....... ....
        tool started, once, key in use           . ....... r..rr ....... ....
        tool started, once, other request        . ....... r...r ....... ....
        tool started, idempotent, key in use     . ....... rrrrr ....... ....
        tool started, shared, other scope        . ....... rrrrr ....... ....
        tool finished, completed                 . ...rr.r .r..r ...p.pp .fxp
        tool finished, failed                    . ...rr.r .r..r ...p.pp .fxp
        tool finished, did not happen            . ...rr.r .r..r ...p.pp .fxp
        tool finished, said by a person          . ...rr.r .r..r ...p.p. .fxp
        tool finished, corrected by a person     . ....... ..... .....pp ....
        tool finished, no call there             . ....... ..... ....... ....
        tool finished, at its own place          . ....... ..... ....... ....
        tool reused                              . ....... ..r.. ....... ....
        tool reused, no answer there             . ....... ..... ....... ....
        tool reused, other attempt               . ....... ..... ....... ....
        tool reused, other step                  . ....... ..... ....... ....
        step committed                           . ....... rrrrr ....... ....
        step committed, other attempt            . ....... ..... ....... ....
        step committed, other step               . ....... ..... ....... ....
        run completed                            . ....... ccccc ....... ....
        run completed, other attempt             . ....... ..... ....... ....
        run completed, other step                . ....... ..... ....... ....
        snapshot                                 . ======= ===== ======= ====
        snapshot, next step                      . ....... ..... ....... ....
        snapshot, far step                       . ....... ..... ....... ....
        paused, budget                           . ppppppp ppppp ppppppp ...p
        paused, requested                        . ppppppp ppppp ppppppp ...p
        paused, interrupted                      . ppppppp ppppp ppppppp ...p
        paused, unknown outcome                  . ppppppp ppppp ppppppp ...p
        paused, interrupted too often            . ppppppp ppppp ppppppp ...p
        resumed                                  . rrrrrrr rrrrr rrrrrrr ...r
        failed                                   . fffffff ..... ....... ....
        cancelled                                . xxxxxxx xxxxx xxxxxxx ...x
        retried                                  . ....... ..... ....... .p..
        labelled                                 . ======= ===== ======= ====
        policy full                              . ======= ===== ======= ====
        policy interval                          . ======= ===== ======= ====
        policy interval 0                        . ....... ..... ....... ....
        policy compact                           . ======= ===== ======= ====
        migrated                                 . rrrrrrr ..... ....... ....
        tool threw                               . ...rr.r .r..r ....... ....
        tool threw, no call there                . ....... ..... ....... ....
        asked                                    . ======= ===== ======= ====
        deleted                                  . ....... ..... ....... rrr.
        """
}
