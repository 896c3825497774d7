import LoomModel
import Testing

@Suite struct EventTimeTests {
    @Test("moments are ordered")
    func order() {
        #expect(EventTime(microseconds: 1) < EventTime(microseconds: 2))
    }
}
