import Dispatch

/// Rates of several ways to do something, measured in turns so that a noisy machine hits all alike.
///
/// Every round runs each way once; the median over the rounds is told, with the lowest and highest,
/// and as a ratio to the way that the others are held against.
public struct Comparison {
    private var ways: [(name: String, body: () async throws -> Int)] = []
    private let title: String
    private let unit: String

    /// Creates an empty comparison.
    public init(_ title: String, unit: String) {
        self.title = title
        self.unit = unit
    }

    /// Adds a way; its body returns how many things it did.
    public mutating func add(_ name: String, _ body: @escaping () async throws -> Int) {
        ways.append((name, body))
    }

    /// Measures and prints a table in Markdown; returns the medians.
    @discardableResult
    public func run(rounds: Int = 5, against reference: String) async throws -> [String: Double] {
        var rates: [String: [Double]] = [:]
        for round in 0...rounds {
            for way in ways {
                let start = DispatchTime.now().uptimeNanoseconds
                let count = try await way.body()
                let seconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
                // The first round warms up.
                if round > 0 { rates[way.name, default: []].append(Double(count) / seconds) }
            }
        }
        let medians = rates.mapValues { $0.sorted()[$0.count / 2] }
        let held = medians[reference] ?? .nan
        print("\n| \(title) | \(unit) a second, median | lowest to highest | ratio |")
        print("|---|---|---|---|")
        for way in ways {
            let all = rates[way.name, default: [.nan]].sorted()
            let median = all[all.count / 2]
            print(
                "| \(way.name) | \(grouped(median)) | \(grouped(all[0])) to "
                    + "\(grouped(all[all.count - 1])) | \(rounded(median / held))x |")
        }
        return medians
    }

    private func grouped(_ value: Double) -> String {
        if value < 100 { return rounded(value) }
        var (digits, text) = (String(Int(value)), "")
        while digits.count > 3 {
            text = "," + digits.suffix(3) + text
            digits.removeLast(3)
        }
        return digits + text
    }

    private func rounded(_ value: Double) -> String {
        let hundredths = Int((value * 100).rounded())
        let part = hundredths % 100
        return "\(hundredths / 100).\(part < 10 ? "0" : "")\(part)"
    }
}
