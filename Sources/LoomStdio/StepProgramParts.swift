internal import LoomModel
internal import Synchronization

/// Cuts bytes into lines; a line beyond the limit is refused before it is kept.
struct LineSplitter {
    private let limit: Int
    private var rest: [UInt8] = []

    init(limit: Int) { self.limit = limit }

    /// - Complexity: O(n) in the bytes given, however long the line grows that they belong to.
    mutating func add(_ bytes: [UInt8]) throws(StepProgramError) -> [[UInt8]] {
        var lines: [[UInt8]] = []
        var start = 0
        while let end = bytes[start...].firstIndex(of: 0x0A) {
            try take(bytes[start..<end])
            if !rest.isEmpty { lines.append(rest) }
            rest = []
            start = end + 1
        }
        try take(bytes[start...])
        return lines
    }

    private mutating func take(_ part: ArraySlice<UInt8>) throws(StepProgramError) {
        guard rest.count + part.count <= limit else { throw .lineTooLong(limit) }
        rest += part
    }
}

/// Passes a program's standard error on, so much for each step; the rest is counted and said.
final class ErrorBudget: Sendable {
    private struct State {
        var passed = 0
        var dropped = 0
    }
    private let state = Mutex(State())
    private let options: StepProgramOptions

    init(_ options: StepProgramOptions) { self.options = options }

    func add(_ bytes: [UInt8]) {
        let taken = state.withLock { state -> Int in
            let taken = min(bytes.count, max(0, options.errorBytesMax - state.passed))
            state.passed += taken
            state.dropped += bytes.count - taken
            return taken
        }
        if taken > 0 { options.errors(Array(bytes.prefix(taken))) }
    }

    /// Ends a step's share.
    func flush() {
        let dropped = state.withLock { state in
            defer { state = State() }
            return state.dropped
        }
        guard dropped > 0 else { return }
        let text = "\n… \(dropped) bytes of the step program's standard error left out\n"
        options.errors(Array(text.utf8))
    }
}

/// A continuation that is resumed by whoever comes first.
final class Once: Sendable {
    private let continuation: Mutex<CheckedContinuation<Void, any Error>?>

    init(_ continuation: CheckedContinuation<Void, any Error>) {
        self.continuation = Mutex(continuation)
    }

    func succeed() { take()?.resume() }
    func fail(_ error: any Error) { take()?.resume(throwing: error) }

    private func take() -> CheckedContinuation<Void, any Error>? {
        continuation.withLock { continuation in
            defer { continuation = nil }
            return continuation
        }
    }
}
