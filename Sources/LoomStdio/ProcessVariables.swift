internal import Foundation

/// The variables of this process.
enum ProcessVariables {
    /// The bytes of one. As a string of Swift, what is not UTF-8 in it would be replaced.
    static func value(_ name: String) -> [UInt8]? {
        guard let value = unsafe getenv(name) else { return nil }
        return unsafe Array(UnsafeBufferPointer(start: value, count: strlen(value)))
            .map(UInt8.init(bitPattern:))
    }
}
