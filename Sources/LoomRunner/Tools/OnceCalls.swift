internal import LoomFormat
internal import LoomModel

/// The open `.once` calls of the present step that may stand against another call of their tool,
/// found without a look at the calls that are in good order.
struct OnceCalls: Sendable {
    private struct Tool {
        /// Calls that were left open and that nobody in this process makes, oldest first; some
        /// have been taken up or settled since.
        var left: [UInt64] = []
        /// The first of ``left`` that may still be so.
        var head = 0
        /// Calls of earlier attempts that this process makes or settles now.
        var older: Set<UInt64> = []
    }

    private var tools: [ByteString: Tool] = [:]
    /// The tools of all ``Tool/older`` calls.
    private var olderNames: [UInt64: ByteString] = [:]

    /// The calls that a run was left with.
    init(_ fold: RunFold) {
        guard fold.calls.hasUnfinished else { return }
        for call in fold.calls.unfinished { leave(call, in: fold.summary.stepIndex) }
    }

    /// Nobody makes this call any more, and it is open.
    mutating func leave(_ call: ToolCallTable.Call, in step: UInt64) {
        guard call.start.safety == .once, call.start.attempt.step == step else { return }
        tools[ByteString(call.start.name), default: Tool()].left.append(call.position)
    }

    /// A call of an earlier attempt is made on, or settled.
    mutating func take(_ call: ToolCallTable.Call) {
        guard call.start.safety == .once else { return }
        let name = ByteString(call.start.name)
        tools[name, default: Tool()].older.insert(call.position)
        olderNames[call.position] = name
    }

    /// A call is no longer made, whatever became of it.
    mutating func end(_ position: UInt64) {
        guard let name = olderNames.removeValue(forKey: position) else { return }
        tools[name]?.older.remove(position)
    }

    /// The first call of a tool that was left open and for which `isLeft` still holds.
    mutating func firstLeft(of tool: String, _ isLeft: (UInt64) -> Bool) -> UInt64? {
        let tool = ByteString(tool)
        guard var calls = tools[tool] else { return nil }
        // Taken out, so that its arrays are not copied.
        tools[tool] = nil
        defer { tools[tool] = calls }
        while calls.head < calls.left.count {
            let position = calls.left[calls.head]
            if isLeft(position) { return position }
            calls.head += 1
        }
        return nil
    }

    /// A call of a tool that an earlier attempt began, and that this process makes now.
    func older(of tool: String) -> UInt64? { tools[ByteString(tool)]?.older.first }

    /// The step is over.
    mutating func removeAll() {
        if !tools.isEmpty { tools = [:] }
        if !olderNames.isEmpty { olderNames = [:] }
    }
}
