extension TableDirectory {
    /// Adds the next leaf of a section, which must follow the one before it without a gap.
    ///
    /// - Parameters:
    ///   - offset: The offset of its block in the file.
    ///   - byteCount: Bytes of that block with header and padding.
    ///   - firstBlockOffset: In the section of blocks, the offset of the block of events that the
    ///     first row is of.
    /// - Throws: ``FormatError`` when the leaf cannot stand there; nothing changed.
    public mutating func append(
        _ leaf: FilledLeaf, at offset: Int, byteCount: Int, firstBlockOffset: Int? = nil
    ) throws(FormatError) {
        guard offset >= SegmentHeader.byteCount, offset % FormatLimits.alignment == 0,
            offset <= FormatLimits.segmentBytesMax
        else { throw .invalid("a table leaf at offset \(offset)") }
        let isFirst = self[leaf.section].ends.isEmpty
        guard isFirst || offset == Int(self[leaf.section].ends.last ?? 0) else {
            throw .invalid("a table leaf at \(offset) does not follow the one before it")
        }
        if isFirst { self[leaf.section].offset = UInt32(offset) }
        do throws(FormatError) {
            // In place: a section may have tens of thousands of leaves.
            try self[leaf.section].append(
                of: leaf.section, byteCount: byteCount, rowCount: leaf.rowCount,
                separator: leaf.separator.rawSpan, firstBlockOffset: firstBlockOffset)
        } catch {
            if isFirst { self[leaf.section] = Section() }
            throw error
        }
    }

    /// The payload of the directory's block.
    ///
    /// - Throws: ``FormatError`` when it does not fit one block: the archive has too many runs with
    ///   names that are alike for many bytes.
    public func encoded() throws(FormatError) -> [UInt8] {
        var writer = ByteWriter()
        writer.writeUInt32(summaryVersion)
        let present = TableSection.known.sorted().filter { leafCount(of: $0) > 0 }
        writer.writeLength(present.count)
        for id in present {
            writer.writeUInt8(id.rawValue)
            writer.writeSized(self[id].encoded())
        }
        guard writer.count <= FormatLimits.blockBytesMax else {
            throw .limitExceeded(
                "table directory", found: UInt64(writer.count),
                limit: UInt64(FormatLimits.blockBytesMax))
        }
        return writer.bytes
    }

    /// Reads the payload of a directory's block.
    public init(decoding payload: RawSpan) throws(FormatError) {
        var reader = ByteReader(payload)
        self.init(summaryVersion: try reader.readUInt32())
        let count = try reader.readLength("section count", limit: Int(UInt8.max))
        var last: UInt8 = 0
        for _ in 0..<count {
            let id = TableSection(rawValue: try reader.readUInt8())
            guard id.rawValue > last else { throw .invalid("table sections are not in order") }
            last = id.rawValue
            let content = try reader.readBytes(
                try reader.readLength("section length", limit: reader.remaining))
            guard TableSection.known.contains(id) else { continue }
            self[id] = try Section(decoding: content, of: id)
        }
    }
}

extension TableDirectory.Section {
    /// Adds a leaf behind the last one; everything that a reader relies on is checked here.
    mutating func append(
        of id: TableSection, byteCount: Int, rowCount: Int, separator: RawSpan,
        firstBlockOffset: Int?
    ) throws(FormatError) {
        let most = BlockEncoder.byteCountMax(rawCount: FormatLimits.tablePayloadBytesMax)
        guard byteCount > BlockHeader.byteCount, byteCount % FormatLimits.alignment == 0,
            byteCount <= most, rowCount > 0, rowCount <= FormatLimits.tablePayloadBytesMax
        else { throw .invalid("a table leaf of \(byteCount) bytes and \(rowCount) rows") }
        let end = Int(ends.last ?? offset) + byteCount
        guard end <= FormatLimits.segmentBytesMax else {
            throw .limitExceeded(
                "offset of a table leaf", found: UInt64(end),
                limit: UInt64(FormatLimits.segmentBytesMax))
        }
        let rows = (rowEnds.last ?? 0).addingReportingOverflow(UInt32(rowCount))
        guard !rows.overflow else { throw .invalid("2^32 rows or more") }
        if id == .filter { try checkFilterLeaf(rowCount: rowCount) }
        try checkSeparator(separator, of: id)
        if id == .blocks {
            guard let start = firstBlockOffset, start >= SegmentHeader.byteCount,
                start % FormatLimits.alignment == 0, start < FormatLimits.segmentBytesMax,
                start > Int(firstBlockOffsets.last ?? 0)
            else { throw .invalid("a leaf of block rows without the offset of its first block") }
            firstBlockOffsets.append(UInt32(start))
        }
        if id.hasSeparators {
            unsafe separator.withUnsafeBytes { unsafe separators.append(contentsOf: $0) }
            separatorEnds.append(UInt32(separators.count))
        }
        ends.append(UInt32(end))
        rowEnds.append(rows.partialValue)
    }

    /// A lookup finds a block of the filter by division: all leaves but the last are full.
    private func checkFilterLeaf(rowCount: Int) throws(FormatError) {
        let full = NameFilter.blocksPerLeaf
        guard rowCount <= full, Int(rowEnds.last ?? 0) == ends.count * full else {
            throw .invalid("the filter has a leaf before its last that is not full")
        }
    }

    private func checkSeparator(_ separator: RawSpan, of id: TableSection) throws(FormatError) {
        guard id.hasSeparators, !ends.isEmpty else {
            guard separator.byteCount == 0 else {
                throw .invalid("a separator where there is nothing to separate")
            }
            return
        }
        let order = self.separator(ends.count - 1).compared(to: separator)
        // Calls of one key may fill a leaf; names are never equal.
        let isInOrder = order < 0 || (id == .keys && order == 0)
        guard isInOrder, !separator.isEmpty, separator.byteCount <= FormatLimits.runIDBytesMax
        else {
            throw .invalid("the separators of table leaves are not in order")
        }
    }

    /// What follows the section's number and length.
    func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 8 * ends.count)
        let unit = UInt32(FormatLimits.alignment)
        writer.writeVarint(UInt64(offset / unit))
        writer.writeLength(ends.count)
        var (start, firstRow, firstBlock) = (offset, UInt32(0), UInt32(0))
        for index in ends.indices {
            writer.writeVarint(UInt64((ends[index] - start) / unit))
            writer.writeVarint(UInt64(rowEnds[index] - firstRow))
            if !separatorEnds.isEmpty {
                writer.writeLength(separator(index).byteCount)
                writer.writeBytes(separator(index))
            }
            if !firstBlockOffsets.isEmpty {
                writer.writeVarint(UInt64((firstBlockOffsets[index] - firstBlock) / unit))
                firstBlock = firstBlockOffsets[index]
            }
            (start, firstRow) = (ends[index], rowEnds[index])
        }
        return writer.bytes
    }

    init(decoding content: RawSpan, of id: TableSection) throws(FormatError) {
        var reader = ByteReader(content)
        let limit = FormatLimits.segmentBytesMax
        let start = try Self.readOffset(&reader)
        guard start >= SegmentHeader.byteCount else {
            throw .invalid("a table section at offset \(start)")
        }
        self.init(offset: UInt32(start))
        // A leaf takes two bytes at least.
        let count = try reader.readLength("leaf count", limit: reader.remaining / 2)
        guard count > 0 else { throw .invalid("a table section without a leaf") }
        ends.reserveCapacity(count)
        rowEnds.reserveCapacity(count)
        for _ in 0..<count {
            let byteCount = try Self.readOffset(&reader)
            let rowCount = try reader.readVarint()
            guard rowCount <= UInt64(limit) else {
                throw .limitExceeded("row count", found: rowCount, limit: UInt64(limit))
            }
            var length = 0
            if id.hasSeparators {
                length = try reader.readLength("separator", limit: FormatLimits.runIDBytesMax)
            }
            let separator = try reader.readBytes(length)
            var firstBlock: Int?
            if id == .blocks {
                firstBlock = Int(firstBlockOffsets.last ?? 0) + (try Self.readOffset(&reader))
            }
            try append(
                of: id, byteCount: byteCount, rowCount: Int(rowCount), separator: separator,
                firstBlockOffset: firstBlock)
        }
        guard reader.isAtEnd else { throw .invalid("bytes behind the leaves of a section") }
    }

    /// An offset or a length, stored in units of eight bytes.
    private static func readOffset(_ reader: inout ByteReader) throws(FormatError) -> Int {
        let units = try reader.readVarint()
        let limit = UInt64(FormatLimits.segmentBytesMax / FormatLimits.alignment)
        guard units <= limit else {
            throw .limitExceeded("offset / 8", found: units, limit: limit)
        }
        return Int(units) * FormatLimits.alignment
    }
}
