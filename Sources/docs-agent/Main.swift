internal import LoomCommands
internal import LoomDemo

@main
enum Main {
    static func main() async { await DocsAgent.main() }
}
