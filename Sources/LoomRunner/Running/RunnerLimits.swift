internal import LoomFormat
internal import LoomModel

/// How large what a loop stores may be.
enum RunnerLimits {
    /// Bytes of one state, result, request or response: 127 MiB. A step's unit has a state twice,
    /// as a delta and as a snapshot, and must fit into ``FormatLimits/unitBytesMax``.
    static let valueBytesMax = FormatLimits.unitBytesMax / 2 - (1 << 20)

    /// Why a value is not stored: a failure of the step that made it.
    static func refusal(of byteCount: Int, as what: String) -> StepFailure {
        StepFailure(
            "a \(what) of \(byteCount) bytes, above \(valueBytesMax)", category: .validation)
    }
}
