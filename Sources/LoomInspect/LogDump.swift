internal import LoomFormat
public import LoomModel
public import LoomStorage
public import SystemPackage

/// Shows what a log's files hold, structure by structure: reads the bytes by itself, without the
/// engine.
///
/// One JSON object a line: the manifest, each segment, each block, each record, a summary. The
/// second reader in Tools prints the same lines from its own reading of FORMAT.md; the two are
/// compared. The active segment is read to the last unit that verifies; of a MARK that counts, only
/// what it vouches for is used.
public struct LogDump {
    let root: FilePath
    private var storage: any Storage
    let emit: (JSONValue) -> Void
    var events: UInt64 = 0
    var units: UInt64 = 0
    /// What MARK vouched for before anything else was read: a writer may go on meanwhile.
    private(set) var mark: (published: MarkWord, durable: MarkWord)?

    /// Why a dump stopped: its last line says so too.
    public struct Refusal: Error, Hashable, Sendable, CustomStringConvertible {
        /// `corrupt`, `unsupported`, `not-a-log`, or `io` where it cannot be read.
        public let code: String
        /// What was found, and where.
        public let description: String
    }

    /// Prepares a dump of a log; each line is given to `emit`.
    public init(
        path: FilePath, storage: any Storage = POSIXStorage(), emit: @escaping (JSONValue) -> Void
    ) {
        root = path
        self.storage = storage
        self.emit = emit
    }

    /// Reads the whole log.
    public mutating func run() throws(Refusal) {
        try anchor()
        mark = try markWords()
        let (manifest, isDamaged, pin) = try pinnedManifest()
        // Until everything is read: else an archiver could unlink what is still to be read.
        defer { pin?.release() }
        line(
            "manifest",
            [
                "generation": number(manifest.generation),
                "store": .string(manifest.storeID.description),
                "writer_epoch": number(manifest.writerEpoch),
                "next_segment": number(manifest.nextSegmentID),
                "segments": number(UInt64(manifest.segments.count)),
                "damaged_copy": .bool(isDamaged),
            ])
        var next = manifest.segments.first?.firstSequence ?? 1
        for index in manifest.segments.indices { next = try dump(index, of: manifest) }
        line(
            "summary",
            ["events": number(events), "units": number(units), "next_sequence": number(next)])
    }

    func line(_ type: String, _ fields: JSONObject) {
        var fields = fields
        fields["type"] = .string(type)
        emit(.object(fields))
    }

    func number(_ value: UInt64) -> JSONValue {
        Int64(exactly: value).map { .integer($0) } ?? .unsigned(value)
    }

    /// Holds on to the directory: all that is dumped is of one log.
    private mutating func anchor() throws(Refusal) {
        do throws(StorageError) {
            storage = try storage.anchored(at: root)
        } catch {
            let isNone = error.isNotFound || error.errno == .notDirectory
            throw Refusal(code: isNone ? "not-a-log" : "io", description: "\(error)")
        }
    }

    /// The newest manifest, pinned where that is possible: not in a copy without LOCK.
    private func pinnedManifest() throws(Refusal) -> (Manifest, Bool, (any StoragePin)?) {
        var (manifest, isDamaged) = try loadManifest()
        while true {
            let lock = root.appending(FileName.lock)
            let pin = try? storage.pin(lock, number: manifest.generation)
            let (newer, isNewerDamaged) = try loadManifest()
            if newer.generation <= manifest.generation { return (manifest, isDamaged, pin) }
            (manifest, isDamaged) = (newer, isNewerDamaged)
        }
    }

    private func loadManifest() throws(Refusal) -> (Manifest, Bool) {
        let names: [String]
        do throws(StorageError) {
            names = try storage.list(root)
        } catch {
            let isNone = error.isNotFound || error.errno == .notDirectory
            throw Refusal(code: isNone ? "not-a-log" : "io", description: "\(error)")
        }
        let generations = names.compactMap(FileName.manifestGeneration).sorted(by: >)
        var refusal = Refusal(code: "not-a-log", description: "\(root): no manifest")
        for generation in generations {
            let path = root.appending(FileName.manifest(generation))
            let bytes: [UInt8]
            do throws(Refusal) {
                bytes = try readFile(path, limit: FormatLimits.manifestBytesMax)
            } catch {
                if error.code == "io" { throw error }
                if generation == generations.first { refusal = error }
                continue
            }
            let found: (manifest: Manifest, hash: UInt64, hasDamagedCopy: Bool)
            do throws(FormatError) {
                found = try Manifest.decodeFile(bytes.rawSpan, generation: generation)
            } catch {
                let found = Self.refusal(error, "manifest \(generation)")
                // What a newer version wrote is not passed over.
                if found.code == "unsupported" { throw found }
                if generation == generations.first { refusal = found }
                continue
            }
            try checkUnlisted(found.manifest)
            return (found.manifest, found.hasDamagedCopy)
        }
        throw refusal
    }

    /// A segment that holds units and is not listed was listed by a manifest that is lost.
    private func checkUnlisted(_ manifest: Manifest) throws(Refusal) {
        let listed = Set(
            (manifest.segments.map(\.segmentID) + manifest.superseded.map(\.segmentID))
                .map(FileName.segment))
        let folder = root.appending(FileName.segments)
        for name in try segmentNames(folder) where !listed.contains(name) {
            guard FileName.segmentID(name) != nil else { continue }
            let start = try readFile(folder.appending(name)).dropFirst(SegmentHeader.byteCount)
            guard Array(start.prefix(FormatLimits.pageBytes)).usedByteCount == 0 else {
                throw Refusal(
                    code: "corrupt", description: "\(name) holds units and no manifest lists it")
            }
        }
    }

    /// The words of a mark that counts on this machine, boot and file.
    private func markWords() throws(Refusal) -> (published: MarkWord, durable: MarkWord)? {
        let file: any StorageFile
        do throws(StorageError) {
            file = try storage.open(root.appending(FileName.mark), for: .reading)
        } catch {
            guard error.irregular != nil else { return nil }
            throw Refusal(code: "corrupt", description: "\(error)")
        }
        defer { try? file.close() }
        guard let bytes = try? file.readBytes(count: Mark.byteCount, at: 0),
            bytes.count == Mark.byteCount, let mark = try? Mark(decoding: bytes.rawSpan),
            let boot = storage.machine.boot,
            mark.boot == ContentHash(low: boot.0, high: boot.1),
            mark.device == file.identity.device, mark.inode == file.identity.inode
        else { return nil }
        func word(at offset: Int) -> MarkWord? {
            var reader = ByteReader(bytes.rawSpan.extracting(droppingFirst: offset))
            return (try? reader.readUInt64()).map { MarkWord(rawValue: $0) }
        }
        guard let published = word(at: Mark.publishedOffset),
            let durable = word(at: Mark.durableOffset)
        else { return nil }
        return (published, durable)
    }

    /// No folder is one without names; a link to a folder is refused.
    private func segmentNames(_ folder: FilePath) throws(Refusal) -> [String] {
        do throws(StorageError) {
            return try storage.list(folder)
        } catch {
            guard error.irregular != nil else { return [] }
            throw Refusal(code: "corrupt", description: "\(error)")
        }
    }

    func readFile(
        _ path: FilePath, limit: Int = FormatLimits.segmentBytesMax
    ) throws(Refusal) -> [UInt8] {
        do {
            let file = try storage.open(path, for: .reading)
            defer { try? file.close() }
            let size = try file.size()
            guard size <= limit else {
                throw Refusal(code: "corrupt", description: "\(path): \(size) bytes")
            }
            return try file.readBytes(count: size, at: 0)
        } catch let error as Refusal {
            throw error
        } catch let error as StorageError {
            let isWrong = error.isNotFound || error.isNoFile
            throw Refusal(code: isWrong ? "corrupt" : "io", description: "\(error)")
        } catch {
            throw Refusal(code: "io", description: "\(error)")
        }
    }

    static func refusal(_ error: FormatError, _ place: String) -> Refusal {
        if case .unsupported = error {
            return Refusal(code: "unsupported", description: "\(place): \(error)")
        }
        return Refusal(code: "corrupt", description: "\(place): \(error)")
    }
}
