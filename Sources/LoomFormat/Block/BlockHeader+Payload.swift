internal import CLZ4

extension BlockHeader {
    /// Appends the decoded payload to `target`; the payload's own hash was checked before.
    ///
    /// - Parameter payload: The stored bytes, without header; padding may follow them.
    public func decodePayload(
        _ payload: RawSpan, into target: inout [UInt8]
    ) throws(FormatError) {
        guard codec == .packedRows else {
            return try decodePayload(payload, length: rawLength, check: rawCheck, into: &target)
        }
        var unpacking = RowUnpacking()
        try decodePayload(payload, into: &target, unpacking: &unpacking)
    }

    /// Appends the decoded payload of a block of any codec to `target`, with memory that the caller
    /// keeps from block to block; otherwise as ``decodePayload(_:into:)``.
    public func decodePayload(
        _ payload: RawSpan, into target: inout [UInt8], unpacking: inout RowUnpacking
    ) throws(FormatError) {
        guard codec == .packedRows else {
            return try decodePayload(payload, length: rawLength, check: rawCheck, into: &target)
        }
        let start = target.count
        var packed: [UInt8] = []
        swap(&packed, &unpacking.scratch)
        defer { swap(&packed, &unpacking.scratch) }
        packed.removeAll(keepingCapacity: true)
        try decodePayload(payload, length: packedLength, check: nil, into: &packed)
        try unpacking.unpack(packed.rawSpan, rawLength: rawLength, into: &target)
        let hash = BlockHash.hash(target.rawSpan.extracting(droppingFirst: start))
        guard UInt32(truncatingIfNeeded: hash) == rawCheck else {
            target.removeLast(target.count - start)
            throw .invalid("the payload does not unpack to what its header says")
        }
    }

    /// Appends what the stored bytes decode to, `length` bytes, whose hash is checked when it is
    /// told.
    private func decodePayload(
        _ payload: RawSpan, length: Int, check: UInt32?, into target: inout [UInt8]
    ) throws(FormatError) {
        guard payload.byteCount >= storedLength else {
            throw .endOfBytes(needed: storedLength, available: payload.byteCount)
        }
        let stored = payload.extracting(first: storedLength)
        let start = target.count
        guard codec != .raw else {
            unsafe stored.withUnsafeBytes { unsafe target.append(contentsOf: $0) }
            return
        }
        let (storedCount, count) = (CInt(storedLength), CInt(length))
        target.append(addingCapacity: length) { span in
            unsafe span.withUnsafeMutableBufferPointer { target, initializedCount in
                let written = unsafe stored.withUnsafeBytes { source in
                    unsafe LZ4_decompress_safe(
                        source.baseAddress?.assumingMemoryBound(to: CChar.self),
                        UnsafeMutableRawPointer(target.baseAddress)?
                            .assumingMemoryBound(to: CChar.self),
                        storedCount, count)
                }
                initializedCount = max(0, Int(written))
            }
        }
        var isGood = target.count - start == length
        if isGood, let check {
            let hash = BlockHash.hash(target.rawSpan.extracting(droppingFirst: start))
            isGood = UInt32(truncatingIfNeeded: hash) == check
        }
        guard isGood else {
            target.removeLast(target.count - start)
            throw .invalid("the payload does not decode to what its header says")
        }
    }
}
