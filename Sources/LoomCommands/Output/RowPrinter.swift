internal import Foundation
public import LoomModel

/// Prints the rows of a list as they come: as one array of JSON, as a line of JSON for each, or in
/// columns.
///
/// Columns are as wide as the widest cell so far: they are set for 64 rows at a time, and grow.
public struct RowPrinter {
    private enum Style {
        case array
        case lines
        case people
    }

    private let style: Style
    private let headings: [String]
    private var widths: [Int] = []
    /// Rows of people that wait for the width of their columns.
    private var waiting: [[String]] = []
    private var waitingBytes = 0
    private var bytes: [UInt8] = []
    fileprivate var isBegun = false
    private var printed = ContinuousClock.now

    private static let waitingMax = 64
    private static let bytesMax = 32 << 10
    private static let delayMax = Duration.milliseconds(50)

    init(_ arguments: ListArguments, _ headings: [String]) {
        style = arguments.json ? .array : arguments.jsonl ? .lines : .people
        self.headings = headings
    }

    /// Prints a row: its JSON, or its cells for people.
    public mutating func print(
        _ value: @autoclosure () -> JSONValue, _ cells: @autoclosure () -> [String]
    ) {
        switch style {
        case .array:
            bytes.append(UInt8(ascii: isBegun ? "," : "["))
            bytes.append(contentsOf: value().canonicalBytes)
        case .lines:
            bytes.append(contentsOf: value().canonicalBytes)
            bytes.append(UInt8(ascii: "\n"))
        case .people: add(cells().map(Output.printable))
        }
        let isFirst = !isBegun
        isBegun = true
        guard style != .people, isFirst || isDue else { return }
        flush()
    }

    /// Whether what waits is much, or old: rows may be far apart.
    private var isDue: Bool {
        bytes.count >= Self.bytesMax || ContinuousClock.now - printed >= Self.delayMax
    }

    private mutating func add(_ cells: [String]) {
        waiting.append(cells)
        waitingBytes += cells.reduce(0) { $0 + $1.utf8.count }
        guard waiting.count >= Self.waitingMax || waitingBytes >= Self.bytesMax else { return }
        flush()
    }

    /// Prints what waits.
    mutating func flush() {
        alignWaiting()
        if !bytes.isEmpty { Output.write(bytes) }
        bytes.removeAll(keepingCapacity: true)
        printed = ContinuousClock.now
    }

    /// Prints what waits and the end of the list.
    mutating func finish() {
        if style == .array {
            bytes.append(contentsOf: isBegun ? Array("]\n".utf8) : Array("[]\n".utf8))
        }
        if style == .people, !isBegun { alignWaiting() }
        isBegun = true
        flush()
    }

    private mutating func alignWaiting() {
        guard style == .people else { return }
        var rows = waiting
        if widths.isEmpty, !headings.isEmpty { rows.insert(headings, at: 0) }
        for line in Output.table(rows, &widths) { bytes.append(contentsOf: "\(line)\n".utf8) }
        waiting.removeAll(keepingCapacity: true)
        waitingBytes = 0
    }
}

extension ListArguments {
    /// Prints the rows that `body` gives. What it printed before it threw is printed.
    public func printRows(
        _ headings: [String] = [], _ body: (inout RowPrinter) throws -> Void
    ) rethrows {
        var printer = RowPrinter(self, headings)
        do {
            try body(&printer)
        } catch {
            if printer.isBegun { printer.flush() }
            throw error
        }
        printer.finish()
    }
}
