import LoomFormat
import SystemPackage

@testable import LoomLog
@testable import LoomStorage

/// A log whose ended segments are archived by hand, one step at a time.
struct ArchivedLog {
    var storage: any Storage
    let directory: LogDirectory
    var options: LogOptions

    init(_ storage: any Storage, path: FilePath = "/a.loom", durability: Durability = .off) {
        self.storage = storage
        directory = LogDirectory(root: path)
        options = LogOptions(durability: durability)
        options.driver = .inline
        options.firstSegmentBytes = 64 << 10
        options.segmentBytesMax = 64 << 10
    }

    func open() throws -> LogWriter {
        try LogWriter(path: directory.root, options: options, storage: storage)
    }

    var manifest: Manifest {
        get throws { try store.load().manifest }
    }

    private var store: ManifestStore { ManifestStore(directory: directory, storage: storage) }

    /// Appends events of five runs, numbered from `first` on.
    func append(_ numbers: Range<Int>, to writer: LogWriter) throws {
        for number in numbers {
            var unit = RecordUnit(
                run: try RunID("run \(number % 5)"), epoch: 1, position: UInt64(number))
            unit.append(Self.body(number))
            try writer.append(unit)
        }
    }

    /// Bytes that do not get smaller.
    static func body(_ number: Int) -> [UInt8] {
        var random = SplitMix(seed: UInt64(number))
        return (0..<(number * 37 % 3000)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }

    /// Lists an archive of some adjacent segments in their place, as an archiver does, and leaves
    /// their files.
    @discardableResult
    func archive(_ segments: Range<Int>) throws -> ManifestSegment {
        let loaded = try store.load()
        let editor = ManifestEditor(loaded, store: store)
        return try archive(segments, editor)
    }

    @discardableResult
    func archive(_ segments: Range<Int>, _ editor: ManifestEditor) throws -> ManifestSegment {
        let manifest = editor.manifest
        let entry = try ArchiveBuilding(
            directory: directory, storage: storage, semantics: CountingSemantics()
        ).build(segments, of: manifest, as: editor.reserveSegmentID())
        let ids = manifest.segments[segments].map(\.segmentID)
        try editor.edit { $0.supersede(ids, by: entry) }
        return entry
    }

    /// What is wrong with the events of the log, if they are not those of ``append(_:to:)``.
    func problem(count: Int) throws -> String? {
        let events = try readAll(directory.root, storage: storage)
        guard events.count == count else { return "\(events.count) events of \(count)" }
        for (index, event) in events.enumerated() {
            guard event.sequence == UInt64(index + 1), event.position == UInt64(index),
                event.run.rawValue.utf8.elementsEqual("run \(index % 5)".utf8),
                event.body == Self.body(index)
            else { return "event \(index) is not what was appended" }
        }
        return nil
    }

    /// Bytes of ended segments that are not archived.
    var waiting: Int {
        get throws {
            ArchivePlan.waiting(try manifest.segments).reduce(0) { $0 + Int($1.validEnd) }
        }
    }

    var files: [String] {
        get throws { try storage.list(directory.segments).sorted() }
    }
}
