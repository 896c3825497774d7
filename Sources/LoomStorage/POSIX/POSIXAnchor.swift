internal import CLoomSystem
internal import SystemPackage

/// An open folder that paths begin at, or the system's own view of paths.
final class POSIXAnchor: Sendable {
    /// Paths as the system resolves them.
    static let none = POSIXAnchor()

    let path: FilePath
    let descriptor: CInt
    /// The path from the root on, so that it does not depend on where the process works.
    private let fullPath: FilePath
    private let identity: FileIdentity
    /// What the paths below the folder begin with.
    private let prefix: String

    private init() {
        path = FilePath()
        fullPath = path
        descriptor = CInt(LOOM_NO_ANCHOR)
        identity = FileIdentity(device: 0, inode: 0)
        prefix = ""
    }

    init(_ path: FilePath) throws(StorageError) {
        self.path = path
        fullPath = Self.full(path)
        let text = path.string
        prefix = text.isEmpty || text.utf8.last == 0x2F ? text : text + "/"
        descriptor = unsafe path.withPlatformString {
            unsafe loom_open(CInt(LOOM_NO_ANCHOR), $0, CInt(LOOM_OPEN_FOLDER))
        }
        var (device, inode): (UInt64, UInt64) = (0, 0)
        let result =
            descriptor < 0 ? descriptor : unsafe loom_identity(descriptor, &device, &inode)
        identity = FileIdentity(device: device, inode: inode)
        // `deinit` closes: all properties are set.
        try check(result, .anchor, path)
    }

    deinit {
        if descriptor >= 0 { _ = loom_close(descriptor) }
    }

    /// Calls `body` with the descriptor and what is left of the path from there on.
    func resolve<Result>(
        _ path: FilePath, _ operation: StorageError.Operation,
        _ body: (CInt, UnsafePointer<CChar>) -> Result
    ) throws(StorageError) -> Result {
        guard descriptor >= 0 else {
            return unsafe path.withPlatformString { unsafe body(descriptor, $0) }
        }
        if path == self.path { return unsafe body(descriptor, "") }
        // By bytes: characters may join across the separator.
        let text = path.string.utf8
        guard text.starts(with: prefix.utf8) else {
            throw StorageError(operation, path, .invalidArgument)
        }
        return unsafe String(Substring(text.dropFirst(prefix.utf8.count))).withCString {
            unsafe body(descriptor, $0)
        }
    }

    /// See ``AnchoredStorage/checkInPlace(_:)``.
    func checkInPlace(_ files: [FilePlace]) throws(StorageError) {
        guard let found = unsafe fullPath.withPlatformString({ unsafe look(nil, $0) }),
            found.identity == identity
        else { throw .displaced(path) }
        for file in files {
            let found = try unsafe resolve(file.path, .checkInPlace) { unsafe look($0, $1) }
            guard let found, found.identity == file.identity, found.size >= file.leastSize else {
                throw .displaced(file.path)
            }
        }
    }

    private func look(
        _ anchor: CInt?, _ path: UnsafePointer<CChar>
    ) -> (identity: FileIdentity, size: Int)? {
        var facts = loom_facts()
        let result = unsafe loom_look(anchor ?? CInt(LOOM_NO_ANCHOR), path, &facts)
        guard result == 0 else { return nil }
        return (FileIdentity(device: facts.device, inode: facts.inode), Int(facts.size))
    }

    private static func full(_ path: FilePath) -> FilePath {
        guard path.isRelative else { return path }
        var bytes = [CChar](repeating: 0, count: 4096)
        let result = unsafe bytes.withUnsafeMutableBufferPointer {
            unsafe loom_working_directory($0.baseAddress.unsafelyUnwrapped, $0.count)
        }
        guard result == 0 else { return path }
        return FilePath(platformString: bytes).pushing(path)
    }
}
