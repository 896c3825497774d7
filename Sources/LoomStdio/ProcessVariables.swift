internal import Foundation

/// The variables of this process.
enum ProcessVariables {
    static var all: [String: String] { ProcessInfo.processInfo.environment }
}
