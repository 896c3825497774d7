import CLoomSystem
import LoomStorage
import Testing

/// The time of the system as the log records it.
@Suite struct WallClockTests {
    /// A clock set to 1969 was recorded as the year 2554.
    @Test("a time before 1970 is recorded as 1970, and late ones do not run over")
    func beforeTheEpoch() {
        #expect(loom_microseconds(-1, 999_999_999) == 0)
        #expect(loom_microseconds(Int64.min, 0) == 0)
        #expect(loom_microseconds(0, 1_999) == 1)
        #expect(loom_microseconds(1_800_000_000, 5_000) == 1_800_000_000_000_005)
        // The year 2600, whose nanoseconds do not fit.
        #expect(loom_microseconds(19_880_899_200, 0) == 19_880_899_200_000_000)
        #expect(POSIXStorage().machine.wallMicroseconds() > 1_700_000_000_000_000)
    }
}
