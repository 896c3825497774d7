import Foundation
import LoomModel
import LoomTesting
import Testing

@Suite struct JSONParserTests {
    @Test("what RFC 8259 allows is read")
    func reads() throws {
        let cases: [(String, JSONValue)] = [
            (" null ", .null), ("true", .bool(true)), ("-0", .integer(0)),
            ("1.0", .double(1)), ("1E+2", .double(100)), ("[]", .array([])),
            (
                #"{"a":{"b":[1,2]}}"#,
                .object(["a": .object(["b": .array([.integer(1), .integer(2)])])])
            ),
            (#""\u0041\ud83d\ude00\/""#, .string("A😀/")),
            ("18446744073709551615", .unsigned(.max)),
        ]
        for (text, value) in cases {
            #expect(try JSONValue(parsing: Array(text.utf8)) == value, "\(text)")
        }
    }

    @Test(
        "malformed text is refused with the byte",
        arguments: [
            ("", 0), ("nul", 0), ("[1,]", 3), ("{\"a\":1,}", 7), ("{\"a\":1,\"a\":2}", 7),
            ("01", 2), ("1.", 2), ("-", 1), ("\"\\ud800\"", 7), ("\"\\x\"", 2), ("\"a", 2),
            ("1 2", 2), ("18446744073709551616", 20), ("1e400", 5), ("[\"\u{1}\"]", 2),
            ("{1:2}", 1),
        ])
    func refuses(text: String, offset: Int) {
        let error = #expect(throws: JSONError.self) { try JSONValue(parsing: Array(text.utf8)) }
        #expect(error?.offset == offset, "\(text): \(String(describing: error))")
    }

    @Test("nesting has a limit, invalid UTF-8 is refused")
    func limits() throws {
        let deep = [UInt8](repeating: 0x5B, count: 100_000)
        #expect(throws: JSONError.self) { try JSONValue(parsing: deep) }
        let fine = [UInt8](repeating: 0x5B, count: 512) + [UInt8](repeating: 0x5D, count: 512)
        #expect(throws: Never.self) { try JSONValue(parsing: fine) }
        #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0xFF, 0x22]) }
        #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0xC0, 0x80, 0x22]) }
    }

    @Test("no bytes make it trap, and what it reads prints to what it reads again")
    func fuzz() throws {
        let seeds = [
            #"{"a":[1,2.5e-3,true,null,"x\u0041\n"],"b":{"c":"é😀","d":[]},"e":-12}"#,
            "[[[[[1,2],3],4],5],\"\\ud83d\\ude00\"]", "18446744073709551615",
        ].map { Array($0.utf8) }
        var generator = SeededGenerator(11)
        let alphabet = Array("{}[]\",:\\u0123456789eE+-.truefalsn \u{1}".utf8) + [0xFF, 0xC3]
        for round in 0..<60_000 {
            var bytes = seeds[round % seeds.count]
            for _ in 0..<Int.random(in: 1...5, using: &generator) where !bytes.isEmpty {
                let place = Int.random(in: 0..<bytes.count, using: &generator)
                let byte = alphabet.randomElement(using: &generator) ?? 0
                switch generator.next() % 3 {
                case 0: bytes[place] = byte
                case 1: bytes.insert(byte, at: place)
                default: bytes.remove(at: place)
                }
            }
            guard let value = try? JSONValue(parsing: bytes) else { continue }
            let again = try JSONValue(parsing: value.canonicalBytes)
            if again.canonicalBytes != value.canonicalBytes { Issue.record("round \(round)") }
        }
    }
}
