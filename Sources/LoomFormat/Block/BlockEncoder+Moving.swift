extension BlockEncoder {
    /// Lays a block of another place at the start of `target`: the stored payload as it is, behind
    /// a header for the new place. Nothing is decoded.
    ///
    /// - Parameters:
    ///   - header: The block's header where it stands, whose hashes were checked.
    ///   - stored: The stored payload; padding may follow it.
    ///   - previousHash: See ``BlockHeader/previousHash``, at the new place.
    ///   - seed: The seed for the salt and offset of the new place.
    ///   - target: At least ``BlockHeader/totalLength`` bytes.
    /// - Returns: Where the next block goes, and what it must name.
    public static func encode(
        moving header: BlockHeader, stored: RawSpan, previousHash: UInt64, seed: UInt64,
        into target: UnsafeMutableRawBufferPointer
    ) -> Written {
        precondition(stored.byteCount >= header.storedLength, "stored payload too short")
        precondition(target.count >= header.totalLength, "target too short")
        let payload = stored.extracting(first: header.storedLength)
        unsafe payload.withUnsafeBytes {
            let body = unsafe UnsafeMutableRawBufferPointer(
                rebasing: target[BlockHeader.byteCount...])
            if unsafe !$0.isEmpty { unsafe body.copyMemory(from: $0) }
        }
        let fields = Fields(
            kind: header.kind, flags: header.flags, firstSequence: header.firstSequence,
            eventCount: header.eventCount, durableUpTo: 0, previousHash: previousHash)
        let content = Content(
            codec: header.codec, stored: header.storedLength, raw: header.rawLength,
            rawCheck: header.rawCheck, aux: UInt32(header.packedLength))
        return unsafe finish(fields, content, seed: seed, target)
    }
}
