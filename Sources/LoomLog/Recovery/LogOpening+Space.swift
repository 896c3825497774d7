internal import LoomFormat
internal import LoomStorage

// Step 9: gives back the space that was filled ahead of need and never used. The manifest that ends
// these segments is durable, so nobody reads behind their ends. A crash before this leaves it to
// the next opening.

extension LogOpening {
    /// Cuts the blank space off that lies behind the ends of segments that will not grow.
    ///
    /// Best effort: what stays takes space and harms nothing. Bytes that recovery set aside stay.
    ///
    /// - Parameters:
    ///   - sizes: The size of each file.
    ///   - justRead: The segment whose end was just scanned: what the manifest does not count of it
    ///     is known to be blank.
    func giveBlankSpaceBack(_ manifest: Manifest, _ sizes: [UInt64: Int], justRead: UInt64) {
        for segment in manifest.segments.dropLast() where segment.role == .live {
            guard let size = sizes[segment.segmentID], let kept = segment.keptBytes, kept < size,
                let file = try? storage.open(
                    directory.segment(segment.segmentID), for: .writing)
            else { continue }
            if segment.segmentID == justRead || isBlank(file, from: kept, to: size) {
                try? file.truncate(to: kept)
            }
            try? file.close()
        }
    }

    private func isBlank(_ file: any StorageFile, from start: Int, to end: Int) -> Bool {
        for offset in stride(from: start, to: end, by: 1 << 20) {
            let count = min(1 << 20, end - offset)
            guard let bytes = try? file.readBytes(count: count, at: offset),
                bytes.allSatisfy({ $0 == 0 })
            else { return false }
        }
        return true
    }
}

extension ManifestSegment {
    /// The bytes of the file up to the last page that holds something, or `nil` where the entry
    /// claims more than a segment can have.
    fileprivate var keptBytes: Int? {
        let (end, overflows) = validEnd.addingReportingOverflow(discardedBytes)
        guard !overflows, end <= UInt64(FormatLimits.segmentBytesMax) else { return nil }
        return Int(end).roundedUp(to: FormatLimits.pageBytes)
    }
}
