internal import Logging
public import LoomRunner

extension RunnerOptions {
    /// Options for tests: no delay takes time, and nothing is logged.
    public static var testing: RunnerOptions {
        var options = RunnerOptions()
        options.clock = VirtualRunClock()
        options.logger = Logger(label: "loomlog") { _ in SwiftLogNoOpLogHandler() }
        return options
    }
}
