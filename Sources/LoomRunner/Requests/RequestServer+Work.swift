internal import LoomFormat
internal import LoomLog
internal import LoomModel
internal import Synchronization

// Requests about no run: work that takes its time.

extension RequestServer {
    /// Takes work up, and does it behind what was taken up before.
    func work(_ item: Received) async throws {
        guard let handler = handlers[item.request.verb], try inbox.take(item.name) else { return }
        if let bytes = item.answer, Self.isLast(bytes) {
            // The answer is there; a crash left the request.
            try inbox.finish(item.name)
            return
        }
        let task = state.withLock { state in
            state.underway.insert(item.name)
            let earlier = state.work
            let task = Task {
                await earlier?.value
                await self.carryOut(item, handler)
            }
            state.work = task
            return task
        }
        if isInline { await task.value }
    }

    /// Waits until all work that was taken up is done.
    func finishWork() async {
        while let work = state.withLock({ $0.work }) {
            await work.value
            state.withLock { state in
                if state.work == work { state.work = nil }
            }
        }
    }

    private func carryOut(_ item: Received, _ handler: RequestHandlers.Handler) async {
        let work = RequestedWork(
            verb: item.request.verb, arguments: item.request.arguments, by: item.request.by
        ) { progress in
            self.answer(item.name, AnswerFields(last: false, value: progress))
        }
        var fields = AnswerFields(last: true)
        do {
            fields.value = try await handler(work)
        } catch let refusal as RequestRefusal {
            fields.refusal = RefusalFields(refusal)
        } catch {
            fields.refusal = RefusalFields(
                RequestRefusal(.failed, GuardedText.words(error)))
        }
        answer(item.name, fields)
        state.withLock { _ = $0.underway.remove(item.name) }
    }

    private func answer(_ name: RequestName, _ fields: AnswerFields) {
        var bytes = (try? CanonicalJSONEncoder().encode(fields)) ?? []
        if bytes.isEmpty || bytes.count > InboxLimits.requestBytesMax {
            guard fields.last else { return }
            let refusal = RequestRefusal(
                .failed, "the work is done; its answer is too large, or has no JSON")
            let short = AnswerFields(last: true, refusal: RefusalFields(refusal))
            bytes = (try? CanonicalJSONEncoder().encode(short)) ?? []
        }
        // Once the log is let go of, the next one to serve does the work again.
        gate.withLock { isOpen in
            guard isOpen else { return }
            try? inbox.answer(name, bytes, isLast: fields.last)
        }
    }

    static func isLast(_ bytes: [UInt8]) -> Bool {
        (try? CanonicalJSONDecoder().decode(AnswerFields.self, from: bytes))?.last == true
    }
}
