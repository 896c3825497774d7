internal import LoomModel
internal import Synchronization

/// Cuts bytes into lines; a line beyond the limit is refused before it is kept. The lines before it
/// count: one may tell that a call has happened.
struct LineSplitter {
    private let limit: Int
    private var rest: [UInt8] = []

    init(limit: Int) { self.limit = limit }

    /// - Complexity: O(n) in the bytes given, however long the line grows that they belong to.
    mutating func add(_ bytes: [UInt8]) -> (lines: [[UInt8]], error: StepProgramError?) {
        var lines: [[UInt8]] = []
        var start = 0
        do throws(StepProgramError) {
            while let end = bytes[start...].firstIndex(of: 0x0A) {
                try take(bytes[start..<end])
                if !rest.isEmpty { lines.append(rest) }
                rest = []
                start = end + 1
            }
            try take(bytes[start...])
        } catch {
            return (lines, error)
        }
        return (lines, nil)
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

/// An answer that is given by whoever comes first, before or after somebody waits for it.
final class FirstAnswer: Sendable {
    private enum State {
        case open
        case waiting(CheckedContinuation<Bool, Never>)
        case given(Bool)
    }
    private let state = Mutex(State.open)

    func give(_ answer: Bool) {
        state.withLock { state in
            if case .given = state { return }
            if case .waiting(let continuation) = state { continuation.resume(returning: answer) }
            state = .given(answer)
        }
    }

    /// The answer; for one task.
    var value: Bool {
        get async {
            await withCheckedContinuation { continuation in
                state.withLock { state in
                    if case .given(let answer) = state {
                        continuation.resume(returning: answer)
                    } else {
                        state = .waiting(continuation)
                    }
                }
            }
        }
    }
}

/// First in, first out.
struct Queue<Element> {
    private var elements: [Element?] = []
    private var start = 0

    var count: Int { elements.count - start }
    var isEmpty: Bool { count == 0 }

    /// The element that is taken next; setting it changes that element.
    var first: Element? {
        get { isEmpty ? nil : elements[start] }
        set { if !isEmpty { elements[start] = newValue } }
    }

    mutating func append(_ element: Element) { elements.append(element) }

    /// - Complexity: O(1), amortised.
    mutating func popFirst() -> Element? {
        guard !isEmpty else { return nil }
        defer {
            start += 1
            if start == elements.count {
                elements.removeAll(keepingCapacity: start < 1024)
                start = 0
            } else if start >= 1024, start * 2 > elements.count {
                elements.removeFirst(start)
                start = 0
            }
        }
        let element = elements[start]
        elements[start] = nil
        return element
    }
}
