extension BlockEncoder {
    /// Writes one block of an archive at the start of `target`: as packed rows where they are
    /// smaller than the rows, else as ``encode(_:payload:seed:compress:into:)`` does.
    ///
    /// - Parameters:
    ///   - fields: What the caller decides; the kind is `events`.
    ///   - rows: The payload, of at most ``FormatLimits/blockBytesMax`` bytes.
    ///   - packing: Memory that the caller keeps from block to block.
    ///   - seed: The seed for this salt and offset.
    ///   - target: At least ``byteCountMax(rawCount:)`` bytes.
    /// - Returns: Where the next block goes, and what it must name.
    public static func encode(
        _ fields: Fields, rows: RawSpan, packing: inout RowPacking, seed: UInt64,
        into target: UnsafeMutableRawBufferPointer
    ) -> Written {
        precondition(rows.byteCount <= FormatLimits.blockBytesMax, "block payload too long")
        precondition(target.count >= byteCountMax(rawCount: rows.byteCount), "target too short")
        if packing.pack(rows) {
            let body = unsafe UnsafeMutableRawBufferPointer(
                rebasing: target[BlockHeader.byteCount...])
            let stored = unsafe packing.packed.withUnsafeBytes {
                unsafe compressed($0, into: body, max: rows.byteCount - 1)
            }
            if stored > 0 {
                let content = Content(
                    codec: .packedRows, stored: stored, raw: rows.byteCount,
                    rawCheck: UInt32(truncatingIfNeeded: BlockHash.hash(rows)),
                    aux: UInt32(packing.packed.byteCount))
                return unsafe finish(fields, content, seed: seed, target)
            }
        }
        return unsafe rows.withUnsafeBytes {
            unsafe encode(fields, payload: $0, seed: seed, into: target)
        }
    }
}
