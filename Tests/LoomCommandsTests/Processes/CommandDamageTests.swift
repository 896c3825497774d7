import LoomModel
import Testing

/// Damaged copies of a log of two segments, read by the command: every read refuses with 65, and
/// names the file. Copies have no MARK that counts, as those that people make.
@Suite(.serialized, .timeLimit(.minutes(10))) struct CommandDamageTests {
    private let folder: CommandFolder

    init() throws { folder = try CommandFolder() }

    private static let reads = [
        ["get", "demo"], ["history", "demo"], ["attempts", "demo"], ["tool-calls", "demo"],
        ["verify", "demo"], ["explain", "demo"], ["stats", "demo"], ["list"], ["tail"], ["info"],
    ]

    /// A completed run; its log is closed and has more than one segment.
    private func makeLog() async throws {
        let said = try await folder.call(
            "counter-agent", ["run", "demo", "--input", #"{"current":0,"target":13000}"#, "--json"])
        #expect(said.json["status"] == .string("completed"), said.words)
        let segments = try await folder.shell("ls \"$LOG/seg\" | wc -l")
        #expect(segments.output != "1\n", segments.words)
    }

    /// Copies the log, damages the copy by a line of shell in it, and calls the reads on it.
    private func expectRefused(
        _ damage: String, naming file: String, except spared: Set<String> = []
    ) async throws {
        let copy = folder.path("copy.loom")
        let made = try await folder.shell(
            "rm -rf \(copy) && cp -a \"$LOG\" \(copy) && cd \(copy) && \(damage)")
        #expect(made.status == 0, made.words)
        for words in Self.reads where !spared.contains(words[0]) {
            let said = try await folder.shell(
                "\"$LOOMLOG\" \(words.joined(separator: " ")) --log \(copy)")
            #expect(said.status == 65, "\(words): \(said.words)")
            #expect(said.errors.contains(file), "\(words): \(said.words)")
        }
    }

    /// The active segment is the newest live file: an archive that was made meanwhile has a higher
    /// number.
    private static let last = "$(cd seg && ls *.llg | tail -1)"

    /// `get` said that there is no such run, and `history` was empty with 0.
    @Test("a flipped bit in the middle of a unit")
    func flippedBit() async throws {
        try await makeLog()
        let flip = """
            python3 -c "
            import glob; name = sorted(glob.glob('seg/*.llg'))[-1]; file = open(name, 'r+b')
            file.seek(300); byte = file.read(1)[0]; file.seek(300); file.write(bytes([byte ^ 4]))"
            """
        try await expectRefused(flip, naming: ".llg")
    }

    /// Readers showed an old state as good, and verify called it valid.
    @Test("the newest manifests are missing")
    func missingManifests() async throws {
        try await makeLog()
        // The close has written the newest one, the last roll the one before.
        try await expectRefused("rm $(ls -d MANIFEST-* | tail -2)", naming: ".llg")
    }

    /// It was an I/O error whose hint said that what was acknowledged stays.
    @Test("a listed segment is missing")
    func missingSegment() async throws {
        try await makeLog()
        try await expectRefused("rm seg/\(Self.last)", naming: "this segment is missing")
    }

    /// Recovery went on without a word, and the completed run was interrupted again.
    @Test("the end of a closed log is zeroed: a change refuses it too")
    func zeroedEnd() async throws {
        try await makeLog()
        let zero = """
            python3 -c "
            import glob, os; name = sorted(glob.glob('seg/*.llg'))[-1]; size = os.path.getsize(name)
            file = open(name, 'r+b'); file.seek(size // 2); file.write(bytes(size - size // 2))"
            """
        try await expectRefused(zero, naming: ".llg")
        let label = try await folder.shell(
            "\"$LOOMLOG\" label demo a=b --log \(folder.path("copy.loom"))")
        #expect(label.status == 65, label.words)
    }

    /// What opening found was told nowhere.
    @Test("an unproven end is told on standard error and by info")
    func unprovenEnd() async throws {
        let long = #"{"current":0,"target":100000000}"#
        let killed = try await folder.shell(
            "\"${LOOMLOG%loomlog}counter-agent\" run demo --input '\(long)' --log \"$LOG\" & "
                + "sleep 1.5; kill -9 $!; wait $!; rm \"$LOG/MARK\"; true")
        #expect(killed.status == 0, killed.words)
        let label = try await folder.call("loomlog", ["label", "demo", "a=b"])
        #expect(label.status == 0, label.words)
        #expect(label.errors.contains("torn, unproven"), label.words)
        #expect(label.errors.contains("at most what was not yet synced may be missing"))
        let info = try await folder.call("loomlog", ["info"])
        #expect(info.output.contains("torn, unproven"), info.words)
        let again = try await folder.call("loomlog", ["label", "demo", "a=c"])
        #expect(again.status == 0 && again.errors.isEmpty, again.words)
    }
}
