import Foundation
import LoomFormat
import LoomLog
import LoomStorage
import SystemPackage
import Testing

/// The files of a log: who may read them, and what is no file of a log.
@Suite(.timeLimit(.minutes(10))) struct LogFileTests {
    private static let segment = "seg/" + FileName.segment(1)
    /// Generation 1 is that of the creation, 2 that of the close.
    private static let manifest = FileName.manifest(2)

    /// A log of three events that is closed.
    private func closedLog() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        let writer = try LogWriter(path: folder.log)
        for number in 0..<3 { try writer.commit(.numbered(number)) }
        try writer.close()
        return folder
    }

    private func open(_ folder: TemporaryFolder) -> LogError? {
        do {
            try LogWriter(path: folder.log).close()
            return nil
        } catch {
            return error
        }
    }

    private func read(_ folder: TemporaryFolder) -> LogError? {
        do {
            let reader = try LogReader(path: folder.log)
            try reader.scan { _ in }
            _ = try reader.writer()
            return nil
        } catch {
            return error as? LogError
        }
    }

    /// A link named LOCK or MARK was followed, and a system file was overwritten.
    @Test(
        "a link in place of a file is refused by name, and its target stays as it is",
        arguments: ["LOCK", "MARK", segment, manifest, "seg"])
    func link(name: String) throws {
        let folder = try closedLog()
        let (files, path) = (FileManager.default, folder.log.appending(name).string)
        let target = folder.path.string + "/target"
        try files.moveItem(atPath: path, toPath: target)
        let before = files.contents(atPath: target)
        try files.createSymbolicLink(atPath: path, withDestinationPath: target)
        for error in [open(folder), read(folder)] {
            #expect(error?.code == .corrupt, "\(String(describing: error))")
            #expect(error?.path?.string.hasPrefix(path) == true)
            #expect(error?.message.contains("symbolic link") == true)
        }
        #expect(files.contents(atPath: target) == before)
    }

    /// A FIFO blocked for ever.
    @Test("a FIFO in place of a file is refused", arguments: ["LOCK", "MARK", segment, manifest])
    func fifo(name: String) throws {
        let folder = try closedLog()
        let path = folder.log.appending(name).string
        try FileManager.default.removeItem(atPath: path)
        #expect(unsafe mkfifo(path, 0o600) == 0)
        for error in [open(folder), read(folder)] {
            #expect(error?.code == .corrupt)
            #expect(error?.path?.string == path)
            #expect(error?.message.contains("FIFO") == true)
        }
    }

    /// What recovery sets aside went through the link, out of the log.
    @Test("nothing is set aside through a link")
    func quarantine() throws {
        let folder = try closedLog()
        let elsewhere = folder.path.string + "/elsewhere"
        let files = FileManager.default
        try files.createDirectory(atPath: elsewhere, withIntermediateDirectories: false)
        try files.createSymbolicLink(
            atPath: folder.log.string + "/quarantine", withDestinationPath: elsewhere)
        #expect(
            files.createFile(
                atPath: folder.log.appending(FileName.manifest(3)).string, contents: Data([1])))
        #expect(open(folder)?.code == .corrupt)
        #expect(try files.contentsOfDirectory(atPath: elsewhere).isEmpty)
    }

    private func permissions(_ path: String) throws -> Int {
        let facts = try FileManager.default.attributesOfItem(atPath: path)
        return try #require(facts[.posixPermissions] as? Int)
    }

    /// States and prompts could be read by everybody on the machine.
    @Test("a log is its owner's alone")
    func ownersAlone() throws {
        let folder = try closedLog()
        let log = folder.log.string
        #expect(try permissions(log) == 0o700)
        #expect(try permissions(log + "/seg") == 0o700)
        for name in ["LOCK", "MARK", Self.segment, Self.manifest] {
            #expect(try permissions(log + "/" + name) == 0o600, "\(name)")
        }
    }

    @Test(
        "files made later are as open as the log's folder",
        arguments: [(0o700, 0o600), (0o750, 0o640), (0o755, 0o644)])
    func laterFiles(folderMode: Int, fileMode: Int) throws {
        let folder = try closedLog()
        let files = FileManager.default
        try files.setAttributes([.posixPermissions: folderMode], ofItemAtPath: folder.log.string)
        // An unclean end: the next opening begins a segment and writes a manifest.
        do { try LogWriter(path: folder.log).append(.numbered(3)) }
        try LogWriter(path: folder.log).close()
        let log = folder.log.string
        #expect(try permissions(log + "/seg/" + FileName.segment(2)) == fileMode)
        let newest = try files.contentsOfDirectory(atPath: log)
            .filter { FileName.manifestGeneration($0) != nil }.max()
        #expect(try permissions(log + "/" + (try #require(newest))) == fileMode)
        #expect(try permissions(log + "/" + Self.segment) == 0o600, "files that are there stay")
    }
}
