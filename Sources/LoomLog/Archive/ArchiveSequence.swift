internal import LoomFormat
internal import LoomStorage

/// Reads the events of an archive in order of sequence, in bounded memory.
///
/// An archive has its events by run, so they are sorted: a window of sequences at a time. The
/// first pass reads all events and checks them, hashes and chain; a later one reads only units
/// that have sequences of its window. A window ends where its events fill the memory that there
/// is. Sequences of deleted runs are missing.
struct ArchiveSequence {
    private let archive: ArchiveBody
    private let bytesMax: Int
    private let checksRest: Bool
    /// Every unit, once the first pass was made.
    private var units: [Place]?
    private var ready: [ArchivedEvent] = []
    private var index = 0
    /// The sequence behind the window that was read last.
    private var windowEnd: UInt64
    /// The sequence behind what was returned.
    private(set) var nextSequence: UInt64

    private struct Place {
        let offset: Int
        let sequences: ClosedRange<UInt64>
    }

    /// - Parameters:
    ///   - sequence: Where to begin.
    ///   - bytesMax: What the events of a window take in memory; at least one event is held.
    ///   - checksRest: Whether what stands behind the events is checked, too.
    init(
        _ archive: ArchiveBody, from sequence: UInt64, bytesMax: Int = 64 << 20,
        checksRest: Bool = false
    ) {
        (self.archive, self.bytesMax, self.checksRest) = (archive, bytesMax, checksRest)
        nextSequence = max(sequence, archive.entry.firstSequence)
        windowEnd = nextSequence
    }

    /// The archive's number.
    var segmentID: UInt64 { archive.entry.segmentID }

    /// The next event; `nil` behind the last one.
    mutating func next() throws(LogError) -> ArchivedEvent? {
        while index == ready.count {
            guard windowEnd < archive.entry.endSequence else {
                nextSequence = archive.entry.endSequence
                return nil
            }
            try readWindow()
        }
        let event = ready[index]
        index += 1
        guard event.sequence >= nextSequence else {
            throw LogError(
                .corrupt, "the archive has two events of sequence \(event.sequence)",
                path: archive.path, offset: event.offset)
        }
        nextSequence = event.sequence + 1
        return event
    }

    private mutating func readWindow() throws(LogError) {
        // What was returned is let go of before more is read.
        (ready, index) = ([], 0)
        var window = SequenceWindow(
            windowEnd..<archive.entry.endSequence, bytesMax: bytesMax)
        if let units {
            for place in units where place.sequences.overlaps(window.sequences) {
                let end = Int(archive.entry.validEnd)
                let unit = try archive.blocks.unit(at: place.offset, end: end)
                try add(unit.payload, at: place.offset, to: &window)
            }
        } else {
            var (all, places) = (ArchiveUnits(archive, checksRest: checksRest), [Place]())
            while let unit = try all.next() {
                places.append(Place(offset: unit.offset, sequences: unit.sequences))
                guard unit.sequences.overlaps(window.sequences) else { continue }
                try add(unit.payload, at: unit.offset, to: &window)
            }
            units = places
        }
        windowEnd = window.sequences.upperBound
        ready = window.sorted()
    }

    private func add(
        _ payload: [UInt8], at offset: Int, to window: inout SequenceWindow
    ) throws(LogError) {
        var filled = window
        window = SequenceWindow(0..<0, bytesMax: 0)
        try refusing(archive.path, at: offset, "unit refused") { () throws(FormatError) in
            try ArchiveUnit.each(in: payload.rawSpan) { run, epoch, position, sequence, body in
                guard filled.sequences.contains(sequence) else { return }
                filled.add(
                    ArchivedEvent(
                        run: run, epoch: epoch, position: position, sequence: sequence,
                        body: [UInt8](copying: body), offset: offset))
            }
        }
        window = filled
    }
}

/// The events of the first sequences of a range that memory has room for.
private struct SequenceWindow {
    private(set) var sequences: Range<UInt64>
    private let bytesMax: Int
    private var events: [ArchivedEvent] = []
    private var byteCount = 0

    init(_ sequences: Range<UInt64>, bytesMax: Int) {
        (self.sequences, self.bytesMax) = (sequences, bytesMax)
    }

    /// Takes an event of the range; where there is no room, the range ends before the last ones.
    mutating func add(_ event: ArchivedEvent) {
        events.append(event)
        byteCount += event.memoryByteCount
        if byteCount > bytesMax && events.count > 1 { shorten() }
    }

    private mutating func shorten() {
        events.sort { $0.sequence < $1.sequence }
        // To the half: sorted again only after as much has come.
        while byteCount > bytesMax / 2, events.count > 1, let last = events.popLast() {
            byteCount -= last.memoryByteCount
            sequences = sequences.lowerBound..<last.sequence
        }
    }

    consuming func sorted() -> [ArchivedEvent] {
        events.sort { $0.sequence < $1.sequence }
        return events
    }
}

extension ArchivedEvent {
    /// About what it takes in memory.
    fileprivate var memoryByteCount: Int { 128 + body.count }
}
