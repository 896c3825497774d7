internal import LoomFormat
package import LoomModel

/// Events of runs as JSON, one object an event, for programs of any language; FORMAT.md, Lines of
/// events. States stand whole where the log has differences.
package struct EventLineWriter {
    private var run: RunID?
    private var track = StateTrack()

    /// Creates a writer. The events of a run come in order and together.
    package init() {}

    /// The line of the next event.
    package mutating func line(_ stored: StoredEvent) throws -> JSONValue {
        if run != stored.run { (run, track) = (stored.run, StateTrack()) }
        var fields = EventFields()
        fields.put("run", stored.run.rawValue)
        fields.put("position", stored.place.position)
        fields.put("epoch", stored.place.epoch)
        guard let event = try stored.event(), event.encoded() == stored.body else {
            fields.put("type", "raw")
            fields.put("body_base64", Base64.encode(stored.body))
            // Also a newer event of a known kind may have a state.
            if let event = try stored.event() { try track.apply(event) }
            return .object(fields.members)
        }
        fields.put("time", event.time.microseconds)
        try track.apply(event)
        if case .stepCommitted(let id, _) = event.content {
            fields.put("type", "step_committed")
            fields.put(id)
            if track.isKept { fields.put("state", try track.present()) }
        } else {
            fields.put(event.content, body: stored.body)
        }
        return .object(fields.members)
    }
}

/// Makes events of lines again.
package struct EventLineReader {
    private var run: RunID?
    private var track = StateTrack()

    /// Creates a reader. The lines of a run come in order and together.
    package init() {}

    /// The event of a line.
    package mutating func event(_ line: JSONValue) throws -> StoredEvent {
        guard case .object(let members) = line else { throw EventLineError("this is no object") }
        let fields = EventFields(members: members)
        let run = try RunID(try fields.text("run"))
        if self.run != run { (self.run, track) = (run, StateTrack()) }
        let place = RunFold.Place(
            position: try fields.number("position"), epoch: try fields.number("epoch"))
        if fields.members["body_base64"] != nil {
            let body = try fields.bytes("body")
            if let event = try RunEvent(decoding: body.rawSpan) { try track.apply(event) }
            return StoredEvent(run: run, place: place, body: body)
        }
        let time = EventTime(microseconds: try fields.number("time"))
        let event = RunEvent(time: time, try content(fields))
        try track.apply(event)
        return StoredEvent(run: run, place: place, body: event.encoded())
    }

    private mutating func content(_ fields: EventFields) throws -> RunEvent.Content {
        let type = try fields.text("type")
        guard type.hasSameBytes(as: "step_committed") else { return try fields.content(type) }
        let id = try fields.attempt()
        // Not kept: the run's policies hide it.
        guard fields.hasBytes("state") else { return .stepCommitted(id, delta: []) }
        let delta = StateDelta.encode(
            from: try track.materialise(), to: try fields.bytes("state"))
        return .stepCommitted(id, delta: delta)
    }
}

extension EventFields {
    /// The type and the members of everything but a commit.
    fileprivate mutating func put(_ content: RunEvent.Content, body: [UInt8]) {
        switch content {
        case .created(let creation): put(creation)
        case .attemptStarted(let id): put("attempt_started", id)
        case .attemptFailed(let id, let failure, let decision):
            put("attempt_failed", id)
            put(failure)
            if case .retry(let delay) = decision { put("retry_delay", delay) }
        case .toolStarted(let start):
            put("tool_started", start.attempt)
            put("tool", start.name)
            put("safety", start.safety.rawValue)
            put(start.key)
            put("request", start.request)
        case .toolFinished(let finish): put(finish)
        case .toolReused(let id, let finish):
            put("tool_reused", id)
            put("finish", finish)
        case .runCompleted(let id, let result):
            put("run_completed", id)
            put("result", result)
        case .snapshot(let step, let state):
            put("type", "snapshot")
            put("step", step)
            put("state", state)
        case .paused(let reason):
            put("type", "paused")
            put(reason)
        case .resumed(let holder):
            put("type", "resumed")
            put("holder", holder)
        case .failed(let failure):
            put("type", "failed")
            put(failure)
        case .cancelled(let reason):
            put("type", "cancelled")
            put("reason", reason)
        case .retried: put("type", "retried")
        case .labelled(let labels):
            put("type", "labelled")
            put(labels)
        case .policyChanged(let policy):
            put("type", "policy_changed")
            put(policy)
        case .migrated(let version, let state):
            put("type", "migrated")
            put("state_version", version)
            put("state", state)
        case .toolThrew(let start, let failure):
            put("type", "tool_threw")
            put("start", start)
            put(failure)
        case .stepCommitted, .deleted, .asked:
            put("type", "raw")
            put("body_base64", Base64.encode(body))
        }
    }

    private mutating func put(_ type: String, _ id: AttemptID) {
        put("type", type)
        put(id)
    }

    private mutating func put(_ creation: RunCreation) {
        put("type", "created")
        put("loop", creation.loop)
        put("state_version", creation.stateVersion)
        put("codec", creation.codec)
        put(creation.policy)
        put(creation.labels)
        put("state", creation.state)
        if let limit = creation.payloads.shownBytesMax { put("shown_bytes_max", limit) }
    }

    private mutating func put(_ finish: ToolFinish) {
        put("type", "tool_finished")
        put("start", finish.start)
        put("by", finish.author.rawValue)
        switch finish.outcome {
        case .completed(let result): put("result", result)
        case .failed(let failure): put(failure)
        case .didNotHappen: members["did_not_happen"] = .bool(true)
        }
    }

    fileprivate func content(_ type: String) throws(EventLineError) -> RunEvent.Content {
        switch ByteString(type) {
        case ByteString("created"): .created(try creation())
        case ByteString("attempt_started"): .attemptStarted(try attempt())
        case ByteString("attempt_failed"):
            .attemptFailed(
                try attempt(), try someFailure(),
                members["retry_delay"] == nil ? .fail : .retry(delay: try number("retry_delay")))
        case ByteString("tool_started"): .toolStarted(try toolStart())
        case ByteString("tool_finished"): .toolFinished(try toolFinish())
        case ByteString("tool_reused"):
            .toolReused(try attempt(), finish: try number("finish"))
        case ByteString("run_completed"):
            .runCompleted(try attempt(), result: try bytes("result"))
        case ByteString("snapshot"):
            .snapshot(step: try number("step"), state: try bytes("state"))
        case ByteString("paused"): .paused(try pauseReason())
        case ByteString("resumed"): .resumed(holder: try text("holder"))
        case ByteString("failed"): .failed(try someFailure())
        case ByteString("cancelled"): .cancelled(reason: try text("reason"))
        case ByteString("retried"): .retried
        case ByteString("labelled"): .labelled(try labels())
        case ByteString("policy_changed"): .policyChanged(try policy())
        case ByteString("migrated"):
            .migrated(stateVersion: try number("state_version"), state: try bytes("state"))
        case ByteString("tool_threw"):
            .toolThrew(start: try number("start"), try someFailure())
        default: throw EventLineError("\"type\" is none that is known")
        }
    }

    private func creation() throws(EventLineError) -> RunCreation {
        let limit = members["shown_bytes_max"] == nil ? nil : try number("shown_bytes_max")
        return RunCreation(
            loop: try text("loop"), stateVersion: try number("state_version"),
            codec: try text("codec"), policy: try policy(), labels: try labels(),
            state: try bytes("state"), payloads: PayloadPolicy(shownBytesMax: limit))
    }
}
