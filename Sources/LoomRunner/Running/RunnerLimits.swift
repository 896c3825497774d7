internal import LoomFormat
internal import LoomModel

/// How large what a loop stores may be.
enum RunnerLimits {
    /// Bytes of one state, result, request or response: 127 MiB. A step's unit has a state twice,
    /// as a delta and as a snapshot, and must fit into ``FormatLimits/unitBytesMax``.
    static let valueBytesMax = FormatLimits.unitBytesMax / 2 - (1 << 20)

    /// Refuses a value that is not stored: a failure of the step that made it.
    static func check(_ byteCount: Int, _ what: @autoclosure () -> String) throws(StepFailure) {
        guard byteCount > valueBytesMax else { return }
        throw StepFailure(
            "a \(what()) of \(byteCount) bytes, above \(valueBytesMax)", category: .validation)
    }
}
