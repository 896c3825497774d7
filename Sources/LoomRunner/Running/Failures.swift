public import LoomModel
internal import SystemPackage

#if canImport(FoundationEssentials)
internal import FoundationEssentials
internal import Glibc
#else
internal import Foundation
#endif

/// An error that says for itself how it is to be treated.
public protocol ClassifiedError: Error {
    /// What kind of error it is.
    var category: FailureCategory { get }
    /// Whether trying again may help.
    var isRetryable: Bool { get }
    /// The least time to wait before trying again, when the other side said so.
    var retryAfter: Duration? { get }
    /// What is recorded of it, up to `ErrorText.bytesMax` bytes.
    var recordedMessage: String { get }
}

extension ClassifiedError {
    /// Transient errors are worth another try.
    public var isRetryable: Bool { category == .transient }
    /// Nobody said.
    public var retryAfter: Duration? { nil }
    /// `TypeName: message`.
    public var recordedMessage: String { "\(type(of: self)): \(ErrorText.words(self))" }
}

/// What ran the step failed, not the step: the attempt is interrupted and has not failed.
public protocol StepHostError: Error {
    /// Whether another attempt may be made at once. If not, the run is paused and the error thrown.
    var isRestartable: Bool { get }
}

/// A failure to throw from a step or a tool.
///
/// ```swift
/// throw StepFailure("the service is busy", category: .transient, retryAfter: .seconds(2))
/// ```
public struct StepFailure: ClassifiedError, CustomStringConvertible {
    /// What happened.
    public let description: String
    /// What kind of failure it is.
    public let category: FailureCategory
    /// Whether trying again may help; unless said otherwise, when it is transient.
    public let isRetryable: Bool
    /// The least time to wait before trying again.
    public let retryAfter: Duration?

    /// Creates a failure.
    public init(
        _ message: String, category: FailureCategory = .unknown, isRetryable: Bool? = nil,
        retryAfter: Duration? = nil
    ) {
        description = message
        self.category = category
        self.isRetryable = isRetryable ?? (category == .transient)
        self.retryAfter = retryAfter
    }
}

extension Failure {
    /// What is recorded of an error: `TypeName: message`, and its class.
    ///
    /// The message has at most `ErrorText.bytesMax` bytes and never holds the value that an encoder
    /// refused. An error that takes over a second to describe itself is recorded by its type.
    ///
    /// An error that does not classify itself is unknown, unless it is a timeout or a broken
    /// connection of the system or of Foundation: these are transient.
    public init(recording error: any Error) {
        if let classified = error as? any ClassifiedError {
            self.init(
                message: GuardedText.recorded(error), category: classified.category,
                isRetryable: classified.isRetryable)
        } else if let error = error as? RunnerError, error.isOversize {
            self.init(
                message: GuardedText.recorded(error), category: .validation, isRetryable: false)
        } else {
            let isTransient = KnownErrors.isTransient(error)
            self.init(
                message: GuardedText.recorded(error),
                category: isTransient ? .transient : .unknown,
                isRetryable: isTransient)
        }
    }
}

/// Errors of others that are known to pass.
private enum KnownErrors {
    private static let errnos: Set<CInt> = [
        Errno.timedOut, .connectionReset, .connectionRefused, .connectionAbort, .brokenPipe,
        .networkUnreachable, .networkDown, .networkReset, .hostIsDown, .noRouteToHost,
        .resourceTemporarilyUnavailable, .interrupted, .socketShutdown, .socketNotConnected,
    ].reduce(into: []) { $0.insert($1.rawValue) }

    /// Of NSURLErrorDomain: timed out, cannot find or connect to host, connection lost, DNS failed,
    /// not connected.
    private static let urlCodes: Set<Int> = [-1001, -1003, -1004, -1005, -1006, -1009]

    /// Else by domain and code, which every error has, so that no networking library is needed.
    static func isTransient(_ error: any Error) -> Bool {
        if let errno = error as? Errno { return errnos.contains(errno.rawValue) }
        if let error = error as? POSIXError { return errnos.contains(error.code.rawValue) }
        switch error._domain {
        case "NSPOSIXErrorDomain": return errnos.contains(CInt(truncatingIfNeeded: error._code))
        case "NSURLErrorDomain": return urlCodes.contains(error._code)
        default: return false
        }
    }
}
