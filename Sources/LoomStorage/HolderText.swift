/// How much of a lock file is read: it goes into messages.
let holderBytesMax = 256

/// What the holder of a lock left, control characters taken out.
func cleanHolder(_ bytes: some Sequence<UInt8>) -> String {
    let text = String(decoding: Array(bytes), as: UTF8.self)
    let clean = String(text.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7F })
    return clean.isEmpty ? "another process" : clean
}
