internal import LoomCommands

@main
enum Main {
    static func main() async { await CommandLineTool.main(LoomlogCommand.self) }
}
