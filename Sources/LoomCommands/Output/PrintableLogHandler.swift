internal import Logging

/// Writes what a loop logs to standard error, one line each, without control characters: messages
/// and errors come from step programs and from what these talk to.
struct PrintableLogHandler: LogHandler {
    private var base: StreamLogHandler

    init(_ label: String) { base = StreamLogHandler.standardError(label: label) }

    func log(event: LogEvent) {
        var event = event
        event.message = "\(Output.printable(event.message.description))"
        event.metadata = event.metadata?.mapValues(Self.printable)
        base.log(event: event)
    }

    private static func printable(_ value: Logger.MetadataValue) -> Logger.MetadataValue {
        .string(Output.printable(value.description))
    }

    subscript(metadataKey key: String) -> Logger.MetadataValue? {
        get { base[metadataKey: key] }
        set { base[metadataKey: key] = newValue.map(Self.printable) }
    }

    var metadata: Logger.Metadata {
        get { base.metadata }
        set { base.metadata = newValue.mapValues(Self.printable) }
    }

    var logLevel: Logger.Level {
        get { base.logLevel }
        set { base.logLevel = newValue }
    }
}
