internal import CLZ4

extension BlockHeader {
    /// Appends the start of a table block's payload to `target`, up to the end of its hot part.
    ///
    /// A list needs no more, and the rest need not be decoded: that halves its work. The raw check
    /// covers whole payloads, so only the payload's own hash stands for what is returned; it was
    /// checked before.
    ///
    /// - Parameter payload: The stored bytes, without header; padding may follow them.
    public func decodeHotPart(
        _ payload: RawSpan, into target: inout [UInt8]
    ) throws(FormatError) {
        guard codec == .lz4 else { return try decodePayload(payload, into: &target) }
        guard payload.byteCount >= storedLength else {
            throw .endOfBytes(needed: storedLength, available: payload.byteCount)
        }
        guard rawLength <= FormatLimits.tablePayloadBytesMax else {
            throw .limitExceeded(
                "table payload", found: UInt64(rawLength),
                limit: UInt64(FormatLimits.tablePayloadBytesMax))
        }
        let stored = payload.extracting(first: storedLength)
        // The section and the length of the hot part stand in the first bytes.
        let start = target.count
        Self.decode(
            stored, count: min(FormatLimits.leafFramingBytesMax, rawLength), into: &target)
        let count: Int
        do throws(FormatError) {
            var reader = ByteReader(target.rawSpan.extracting(droppingFirst: start))
            try reader.skip(1)
            let length = try reader.readVarint()
            guard length <= UInt64(rawLength - reader.offset) else {
                throw .limitExceeded("hot length", found: length, limit: UInt64(rawLength))
            }
            count = reader.offset + Int(length)
        } catch {
            target.removeLast(target.count - start)
            throw error
        }
        target.removeLast(target.count - start)
        Self.decode(stored, count: count, into: &target)
        guard target.count - start == count else {
            target.removeLast(target.count - start)
            throw .invalid("the payload does not decode to what its header says")
        }
    }

    /// Appends the first `count` bytes that an LZ4 block decodes to, or fewer where it is damaged.
    private static func decode(_ stored: RawSpan, count: Int, into target: inout [UInt8]) {
        target.append(addingCapacity: count) { span in
            unsafe span.withUnsafeMutableBufferPointer { target, written in
                let result = unsafe stored.withUnsafeBytes { source in
                    unsafe LZ4_decompress_safe_partial(
                        source.baseAddress?.assumingMemoryBound(to: CChar.self),
                        UnsafeMutableRawPointer(target.baseAddress)?
                            .assumingMemoryBound(to: CChar.self),
                        CInt(source.count), CInt(count), CInt(count))
                }
                written = max(0, min(count, Int(result)))
            }
        }
    }
}
