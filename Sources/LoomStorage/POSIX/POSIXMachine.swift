internal import CLoomSystem

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// This machine, boot and process.
struct POSIXMachine: Machine {
    let boot: (UInt64, UInt64)?
    let processDescription: String

    init() {
        boot = Self.readBoot()
        processDescription = "pid \(getpid()) on \(Self.readHostName())"
    }

    func wallMicroseconds() -> UInt64 { loom_wall_microseconds() }
    func monotonicNanoseconds() -> UInt64 { loom_monotonic_nanoseconds() }

    func sleep(nanoseconds: UInt64) { loom_sleep(nanoseconds) }

    func random() -> UInt64 {
        var generator = SystemRandomNumberGenerator()
        return generator.next()
    }

    /// The kernel's boot id is a UUID as text; its 32 digits are the two words.
    private static func readBoot() -> (UInt64, UInt64)? {
        guard let text = unsafe text(capacity: 64, { unsafe loom_boot_id($0, $1) }) else {
            return nil
        }
        let digits = text.filter(\.isHexDigit)
        guard digits.count == 32, let high = UInt64(digits.prefix(16), radix: 16),
            let low = UInt64(digits.suffix(16), radix: 16)
        else { return nil }
        return (low, high)
    }

    private static func readHostName() -> String {
        unsafe text(capacity: 256) { unsafe loom_host_name($0, $1) } ?? "this host"
    }

    private static func text(
        capacity: Int, _ call: (UnsafeMutablePointer<CChar>, Int) -> CInt
    ) -> String? {
        var bytes = [CChar](repeating: 0, count: capacity)
        let result = unsafe bytes.withUnsafeMutableBufferPointer { buffer in
            unsafe call(buffer.baseAddress.unsafelyUnwrapped, buffer.count)
        }
        guard result == 0 else { return nil }
        return String(
            decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
