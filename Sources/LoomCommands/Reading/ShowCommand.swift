internal import ArgumentParser
internal import LoomFormat
internal import LoomModel
internal import LoomRuns

struct ShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show the state that a step of a run read, or will read.",
        discussion: """
            Always whole. A state that the run's policy does not keep is refused, with the nearest \
            one that it keeps.
            """)
    @OptionGroup var log: LogArguments
    @OptionGroup var run: RunArguments
    @OptionGroup var output: OutputArguments
    @Option(parsing: .unconditional, help: "The step (default: the present one).")
    var step: UInt64?

    func run() async throws {
        try await reporting {
            let (reader, run) = (try log.reader(), try run.run())
            let view = try reader.get(run)
            let row = try reader.state(run, at: step ?? view.summary.stepIndex)
            output.print(
                row.wholeJSON(of: view),
                [JSONValue.stored(row.state, codec: view.summary.codec).canonicalText])
        }
    }
}
