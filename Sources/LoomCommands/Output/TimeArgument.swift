internal import ArgumentParser
internal import Foundation
internal import LoomModel

/// A moment that an option takes: a time of ISO 8601, or an age such as `90m`, `12h`, `30d`.
struct TimeArgument: ExpressibleByArgument {
    private enum Kind {
        case moment(EventTime)
        case age(microseconds: UInt64)
    }

    private let kind: Kind

    static let help = "a time such as 2026-11-26T07:00:00Z, or an age: 90s, 15m, 12h, 30d"

    init?(argument: String) {
        if let age = Self.age(argument) {
            kind = .age(microseconds: age)
            return
        }
        let whole = Date.ISO8601FormatStyle.iso8601
        let styles = [
            whole, Date.ISO8601FormatStyle(includingFractionalSeconds: true),
            whole.year().month().day(),
        ]
        guard let date = styles.lazy.compactMap({ try? $0.parse(argument) }).first else {
            return nil
        }
        let microseconds = (date.timeIntervalSince1970 * 1_000_000).rounded()
        guard microseconds >= 0, microseconds < Double(Int64.max) else { return nil }
        kind = .moment(EventTime(microseconds: UInt64(microseconds)))
    }

    /// The age that a number with a unit says, in microseconds.
    static func age(_ text: String) -> UInt64? {
        let units: [Character: UInt64] = ["s": 1, "m": 60, "h": 3_600, "d": 86_400]
        guard let unit = text.last.flatMap({ units[$0] }), let number = UInt64(text.dropLast())
        else { return nil }
        let (seconds, overflows) = number.multipliedReportingOverflow(by: unit)
        guard !overflows, seconds <= UInt64(Int64.max) / 1_000_000 else { return nil }
        return seconds * 1_000_000
    }

    /// The moment, as seen from another.
    func moment(before now: EventTime) -> EventTime {
        switch kind {
        case .moment(let time): time
        case .age(let age):
            EventTime(microseconds: now.microseconds > age ? now.microseconds - age : 0)
        }
    }
}

extension EventTime {
    /// Now, by the clock of the machine.
    static var present: EventTime {
        EventTime(microseconds: UInt64(max(0, Date.now.timeIntervalSince1970 * 1_000_000)))
    }
}
