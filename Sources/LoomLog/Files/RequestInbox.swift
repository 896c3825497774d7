public import LoomFormat
public import LoomStorage

/// Where other processes leave requests for the one that has the log: the narrow seam between them.
///
/// An inbox knows bytes and names; what a request asks for is known to those who use it. The first
/// implementation is a folder, ``Inbox``; in a database it is a table. Each request goes through
/// these stages, and no other:
///
///     waiting -> taken -> done, refused or answered
///        |
///        +-> withdrawn
///
/// Whoever serves takes a request, does what it asks for, and then finishes it. A crash in between
/// leaves it taken, so that the next one to serve finds it again and first looks whether it was
/// done.
public protocol RequestInbox: Sendable {
    // MARK: Asking

    /// Leaves a request. It is durable when this returns.
    ///
    /// - Throws: ``LogError`` with code `limitExceeded` for a request above 64 KiB, `inboxFull`
    ///   while too many wait. When it throws, nothing was asked, unless the error says otherwise.
    func submit(_ body: [UInt8], id: RequestID) throws(LogError) -> RequestName
    /// Where a request stands.
    func stage(of name: RequestName) throws(LogError) -> RequestStage
    /// Takes a request back that nobody has taken up.
    ///
    /// - Returns: Whether it was waiting, and so will never be carried out. False: it was taken up.
    func withdraw(_ name: RequestName) throws(LogError) -> Bool
    /// Removes a refusal or an answer that was read.
    func forget(_ name: RequestName)

    // MARK: Serving

    /// The requests that are to be served, in order of their names, besides those that the server
    /// knows already.
    func pending(besides known: Set<RequestName>) throws(LogError) -> InboxListing
    /// Reads a request, whether it was taken up or not.
    ///
    /// - Returns: `nil` when it is not there any more: it was withdrawn or finished.
    func read(_ name: RequestName) throws(LogError) -> ReceivedRequest?
    /// Takes a request up: from here on it cannot be withdrawn.
    ///
    /// - Returns: Whether it is taken up now, by this call or an earlier one. False: it is gone.
    func take(_ name: RequestName) throws(LogError) -> Bool
    /// Ends a request that was taken up. Durable after ``sync()``.
    func finish(_ name: RequestName) throws(LogError)
    /// Ends a request with a refusal that no run can hold.
    func refuse(_ name: RequestName, _ body: [UInt8]) throws(LogError)
    /// Says what long work has come to; the last word is durable when this returns.
    func answer(_ name: RequestName, _ body: [UInt8], isLast: Bool) throws(LogError)
    /// Makes the ends of requests durable.
    func sync() throws(LogError)
    /// Removes what askers left behind that are gone.
    func removeAbandoned()
    /// Tells when requests come in; throws where that is not to be had.
    func watch() throws(LogError) -> any FolderWatch
}

/// Where a request stands.
public enum RequestStage: Hashable, Sendable {
    /// Nobody has taken it up.
    case waiting
    /// It is being served; with what long work has come to so far.
    case taken(progress: [UInt8]?)
    /// It was refused, for this reason.
    case refused([UInt8])
    /// Long work has ended, with this.
    case answered([UInt8])
    /// It is not there any more: done, when a run holds its answer; else withdrawn or removed.
    case gone
}

/// A request as whoever serves finds it.
public enum ReceivedRequest: Hashable, Sendable {
    /// Its bytes, the user that owns it, and what an earlier server had answered.
    case request([UInt8], owner: UInt32?, answer: [UInt8]?)
    /// It is none, for this reason, and can be refused.
    case invalid(String)
    /// It cannot be looked at, for this reason: it is left where it is.
    case irregular(String)
}

/// What an inbox holds for whoever serves.
public struct InboxListing: Hashable, Sendable {
    /// The requests, in order; at most a turn's.
    public var requests: [RequestName]
    /// Whether there are more.
    public var hasMore: Bool
    /// Names that are none of a request's: for people.
    public var remarks: [String]

    /// Creates a listing.
    public init(requests: [RequestName], hasMore: Bool = false, remarks: [String] = []) {
        self.requests = requests
        self.hasMore = hasMore
        self.remarks = remarks
    }
}

/// How much an inbox takes. FORMAT.md, Requests.
public enum InboxLimits {
    /// Bytes of one request, refusal or answer.
    public static let requestBytesMax = 64 << 10
    /// Requests that are served in one turn.
    public static let turnCountMax = 1_000
    /// Requests that may wait before another is refused.
    public static let waitingCountMax = 10_000
    /// Age at which a file that was being written counts as abandoned, in microseconds: an hour.
    static let unfinishedAge: UInt64 = 3_600_000_000
    /// Age at which a refusal or an answer counts as abandoned, in microseconds: a day.
    static let answerAge: UInt64 = 86_400_000_000
    /// Remarks of one look.
    static let remarksMax = 10
}
