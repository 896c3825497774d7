internal import ArgumentParser
internal import LoomCommands

@main
enum Main {
    static func main() async {
        Output.ignoreBrokenPipes()
        await LoomlogCommand.main()
    }
}
