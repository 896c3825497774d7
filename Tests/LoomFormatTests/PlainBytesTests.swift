import LoomFormat
import LoomTesting
import Testing

/// Quick ways over bytes say what the library's general ones say.
@Suite struct PlainBytesTests {
    private func samples() -> [[UInt8]] {
        var generator = SeededGenerator(4)
        var samples: [[UInt8]] = [[], [0], [0x7F], [0x80], [0xFF], Array("é".utf8), [0xC3]]
        for count in 1..<40 {
            for alphabet in [[0x61, 0x62], [0, 0x7F], [0x61, 0xC3, 0xA9], [0x7F, 0x80, 0xFF]] {
                let bytes = (0..<count).map { _ in
                    UInt8(alphabet[Int(generator.next() % UInt64(alphabet.count))])
                }
                // The second has one byte that is not ASCII.
                var other = [UInt8](repeating: 0x61, count: count)
                other[Int(generator.next() % UInt64(count))] = 0xE9
                samples += [bytes, other]
            }
        }
        return samples
    }

    @Test("bytes are a text when they are UTF-8, and the same text")
    func text() {
        for bytes in samples() {
            let wanted = String(validating: bytes, as: UTF8.self)
            let found = String(utf8: bytes.rawSpan)
            #expect(found.map { Array($0.utf8) } == wanted.map { Array($0.utf8) })
        }
    }

    @Test("spans come in the order of their bytes")
    func order() {
        let samples = samples()
        for (number, a) in samples.enumerated() {
            for b in samples[(number / 2)...] {
                let order = a.rawSpan.compared(to: b.rawSpan)
                #expect((order < 0) == a.lexicographicallyPrecedes(b))
                #expect((order == 0) == (a == b))
            }
        }
    }
}
