public import LoomFormat
public import LoomStorage
internal import SystemPackage

/// The inbox of a log: a folder with a file for each request. See FORMAT.md, Requests.
///
/// Everything in it is written by other programs: names are parsed, only regular files are opened,
/// without following links or blocking, and no more is read than a request may have.
public struct Inbox: RequestInbox {
    let directory: LogDirectory
    let storage: any AnchoredStorage

    func path(_ name: RequestName, _ file: RequestName.File) -> FilePath {
        directory.inbox.appending(name.file(file))
    }

    /// Makes the folder if there is none.
    private func makeFolder() throws(StorageError) {
        do throws(StorageError) {
            try storage.createPrivateDirectory(directory.inbox)
        } catch {
            guard error.isFileExists else { throw error }
        }
    }

    /// Whether one of a request's files is there, of whatever kind.
    private func has(_ name: RequestName, _ file: RequestName.File) throws(StorageError) -> Bool {
        do throws(StorageError) {
            let file = try storage.open(path(name, file), for: .reading)
            try? file.close()
            return true
        } catch {
            if error.isNotFound { return false }
            if error.isNoFile { return true }
            throw error
        }
    }

    /// The bytes of a file; `nil` when it is not there.
    private func read(
        _ name: RequestName, _ file: RequestName.File
    ) throws(StorageError) -> (bytes: [UInt8], owner: UInt32?)? {
        do throws(StorageError) {
            let file = try storage.open(path(name, file), for: .reading)
            defer { try? file.close() }
            return (
                try file.readBytes(count: InboxLimits.requestBytesMax + 1, at: 0),
                try file.owner()
            )
        } catch {
            if error.isNotFound { return nil }
            throw error
        }
    }

    /// The bytes of a request, taken up or not.
    private func readWhereItIs(
        _ name: RequestName
    ) throws(StorageError) -> (bytes: [UInt8], owner: UInt32?)? {
        if let found = try read(name, .taken) { return found }
        return try read(name, .waiting)
    }

    /// Writes a file under a temporary name and gives it its own, in place of an older one.
    private func write(
        _ body: [UInt8], _ name: RequestName, _ file: RequestName.File,
        by temporary: RequestName.File, isDurable: Bool = true
    ) throws(StorageError) {
        let unfinished = path(name, temporary)
        // A crash may have left one.
        try removeIfThere(unfinished)
        let written = try storage.create(unfinished)
        do throws(StorageError) {
            defer { try? written.close() }
            try written.writeBytes(body, at: 0)
            if isDurable { try written.sync() }
            if temporary == .unfinishedAnswer { try removeIfThere(path(name, file)) }
            try storage.rename(unfinished, to: path(name, file))
        } catch {
            try? storage.remove(unfinished)
            throw error
        }
        if isDurable { try storage.syncDirectory(directory.inbox) }
    }

    private func removeIfThere(_ path: FilePath) throws(StorageError) {
        do throws(StorageError) {
            try storage.remove(path)
        } catch {
            guard error.isNotFound else { throw error }
        }
    }

    /// See ``RequestInbox/watch()``. Makes the folder if there is none.
    public func watch() throws(LogError) -> any FolderWatch {
        try storing("watching the inbox") { () throws(StorageError) in
            try makeFolder()
            return try storage.watch(directory.inbox)
        }
    }

    /// See ``RequestInbox/sync()``.
    public func sync() throws(LogError) {
        try storing("syncing the inbox") { () throws(StorageError) in
            try storage.syncDirectory(directory.inbox)
        }
    }
}

// MARK: - Asking

extension Inbox {
    /// See ``RequestInbox/submit(_:id:)``.
    public func submit(_ body: [UInt8], id: RequestID) throws(LogError) -> RequestName {
        guard body.count <= InboxLimits.requestBytesMax else {
            throw LogError(
                .limitExceeded,
                "a request of \(body.count) bytes; \(InboxLimits.requestBytesMax) are allowed",
                path: directory.inbox)
        }
        let name = RequestName(microseconds: storage.machine.wallMicroseconds(), id: id)
        let names = try storing("asking") { () throws(StorageError) in
            try makeFolder()
            return try storage.list(directory.inbox)
        }
        let waiting = names.count { RequestName.parse($0)?.file == .waiting }
        guard waiting < InboxLimits.waitingCountMax else {
            throw LogError(
                .inboxFull, "\(waiting) requests wait there already", path: directory.inbox)
        }
        do throws(LogError) {
            try storing("asking") { () throws(StorageError) in
                try write(body, name, .waiting, by: .unfinished)
                // The folder's own name, and a log that was moved meanwhile: nobody would look.
                try storage.syncDirectory(directory.root)
                try storage.checkInPlace([])
            }
        } catch {
            // After a failed sync the request may be there.
            if let isBack = try? withdraw(name), !isBack, (try? has(name, .taken)) == true {
                return name
            }
            throw error
        }
        return name
    }

    /// See ``RequestInbox/stage(of:)``.
    public func stage(of name: RequestName) throws(LogError) -> RequestStage {
        // In the order in which they follow one another: a request that moves on meanwhile is found
        // at a later place, and never overlooked.
        try storing("looking at a request") { () throws(StorageError) in
            if try has(name, .waiting) { return .waiting }
            if try has(name, .taken) {
                return .taken(progress: try read(name, .answer)?.bytes)
            }
            if let refusal = try read(name, .refusal) { return .refused(refusal.bytes) }
            if let answer = try read(name, .answer) { return .answered(answer.bytes) }
            return .gone
        }
    }

    /// See ``RequestInbox/withdraw(_:)``.
    public func withdraw(_ name: RequestName) throws(LogError) -> Bool {
        try storing("withdrawing a request") { () throws(StorageError) in
            do throws(StorageError) {
                try storage.remove(path(name, .waiting))
            } catch {
                if error.isNotFound { return false }
                throw error
            }
            // Else a loss of power could bring it back.
            try storage.syncDirectory(directory.inbox)
            return true
        }
    }

    /// See ``RequestInbox/forget(_:)``.
    public func forget(_ name: RequestName) {
        try? storage.remove(path(name, .refusal))
        try? storage.remove(path(name, .answer))
    }
}

// MARK: - Serving

extension Inbox {
    /// See ``RequestInbox/pending(besides:)``.
    public func pending(
        besides known: Set<RequestName> = []
    ) throws(LogError) -> InboxListing {
        let names: [String]
        do throws(StorageError) {
            names = try storage.list(directory.inbox)
        } catch {
            if error.isNotFound { return InboxListing(requests: []) }
            throw LogError(error, doing: "looking into the inbox")
        }
        var listing = InboxListing(requests: [])
        var requests: Set<RequestName> = []
        for name in names {
            guard let (request, file) = RequestName.parse(name) else {
                if listing.remarks.count < InboxLimits.remarksMax {
                    listing.remarks.append("\(directory.inbox): \(name) is no request's name")
                }
                continue
            }
            guard file == .waiting || file == .taken, !known.contains(request) else { continue }
            requests.insert(request)
        }
        let sorted = requests.sorted()
        listing.hasMore = sorted.count > InboxLimits.turnCountMax
        listing.requests = Array(sorted.prefix(InboxLimits.turnCountMax))
        return listing
    }

    /// See ``RequestInbox/read(_:)``.
    public func read(_ name: RequestName) throws(LogError) -> ReceivedRequest? {
        do throws(StorageError) {
            guard let (bytes, owner) = try readWhereItIs(name) else {
                return nil
            }
            guard bytes.count <= InboxLimits.requestBytesMax else {
                return .invalid(
                    "a request has at most \(InboxLimits.requestBytesMax) bytes, and this has more")
            }
            return .request(bytes, owner: owner, answer: try read(name, .answer)?.bytes)
        } catch {
            if error.isNoFile || error.errno == .permissionDenied {
                return .irregular(error.description)
            }
            throw LogError(error, doing: "reading a request")
        }
    }

    /// See ``RequestInbox/take(_:)``.
    public func take(_ name: RequestName) throws(LogError) -> Bool {
        try storing("taking a request up") { () throws(StorageError) in
            if try has(name, .taken) { return true }
            do throws(StorageError) {
                try storage.rename(path(name, .waiting), to: path(name, .taken))
            } catch {
                if error.isNotFound { return false }
                throw error
            }
            return true
        }
    }

    /// See ``RequestInbox/finish(_:)``.
    public func finish(_ name: RequestName) throws(LogError) {
        try storing("ending a request") { () throws(StorageError) in
            try removeIfThere(path(name, .taken))
        }
    }

    /// See ``RequestInbox/refuse(_:_:)``.
    public func refuse(_ name: RequestName, _ body: [UInt8]) throws(LogError) {
        try storing("refusing a request") { () throws(StorageError) in
            try write(body, name, .refusal, by: .unfinishedAnswer)
            try removeIfThere(path(name, .taken))
        }
    }

    /// See ``RequestInbox/answer(_:_:isLast:)``.
    public func answer(
        _ name: RequestName, _ body: [UInt8], isLast: Bool
    ) throws(LogError) {
        try storing("answering a request") { () throws(StorageError) in
            try write(body, name, .answer, by: .unfinishedAnswer, isDurable: isLast)
            if isLast { try removeIfThere(path(name, .taken)) }
        }
    }

    /// See ``RequestInbox/removeAbandoned()``. By the time in the name: a file of the future stays.
    public func removeAbandoned() {
        guard let names = try? storage.list(directory.inbox) else { return }
        let now = storage.machine.wallMicroseconds()
        let files = names.compactMap { RequestName.parse($0) }
        let open = Set(files.filter { $0.file == .waiting || $0.file == .taken }.map(\.name))
        for (name, file) in files where !open.contains(name) {
            let limit =
                switch file {
                case .unfinished, .unfinishedAnswer: InboxLimits.unfinishedAge
                case .refusal, .answer: InboxLimits.answerAge
                case .waiting, .taken: UInt64.max
                }
            let age = now > name.microseconds ? now - name.microseconds : 0
            if age > limit { try? storage.remove(path(name, file)) }
        }
    }
}

extension LogReader {
    /// The machine that holds the log.
    package var machine: any Machine { storage.machine }

    /// The log's inbox, to ask the process that has the log.
    public var inbox: Inbox { Inbox(directory: directory, storage: storage) }
}

extension LogWriter {
    /// The machine that holds the log.
    package var machine: any Machine { core.storage.machine }

    /// The log's inbox, to serve those that ask.
    public var inbox: Inbox { Inbox(directory: core.maker.directory, storage: core.storage) }
}
