/// Which of the states that a crash may leave behind is taken.
///
/// ```swift
/// for image in CrashImage.several(sampled: 5) {
///     let restarted = storage.powerLossImage(image)
/// }
/// ```
public enum CrashImage: Hashable, Sendable {
    /// Nothing survives that is not promised to: the oldest state of everything.
    case nothingPending
    /// Everything survives, the call in flight included: the newest state of everything.
    case everythingPending
    /// One of all allowed states, the same for the same seed.
    ///
    /// A seed also decides how far the image leans to old or new, for bytes, sizes and names apart:
    /// a few seeds give images that differ in kind.
    case sampled(UInt64)

    /// Both extremes, then `count` samples with the seeds 1, 2, 3 and so on.
    public static func several(sampled count: Int) -> [CrashImage] {
        [.nothingPending, .everythingPending] + (0..<count).map { .sampled(UInt64($0) + 1) }
    }
}

/// The choices that make one image.
struct ImageSampler {
    /// How far a kind of state leans to what was there at the last sync or to what came last.
    private enum Lean: CaseIterable {
        case oldest, mostlyOldest, mixed, mostlyNewest, newest

        static func drawn(with random: inout SplitMix) -> Lean {
            allCases[random.below(allCases.count)]
        }
    }

    private var random: SplitMix
    private let bytes: Lean
    private let sizes: Lean
    private let names: Lean
    private let flight: Lean

    init(_ image: CrashImage) {
        switch image {
        case .nothingPending:
            random = SplitMix(seed: 0)
            (bytes, sizes, names, flight) = (.oldest, .oldest, .oldest, .oldest)
        case .everythingPending:
            random = SplitMix(seed: 0)
            (bytes, sizes, names, flight) = (.newest, .newest, .newest, .newest)
        case .sampled(let seed):
            random = SplitMix(seed: SplitMix.combined(seed, 0x1A6E))
            bytes = Lean.drawn(with: &random)
            sizes = Lean.drawn(with: &random)
            names = Lean.drawn(with: &random)
            flight = .mixed
        }
    }

    /// How much of a call in flight had happened: 0 to `length`, both included.
    ///
    /// Nothing and all of it are as likely as any cut in between, however long it is.
    mutating func cut(_ length: Int) -> Int {
        guard flight == .mixed else { return drawn(flight, length) }
        return random.chance(50) ? random.below(length + 1) : random.below(2) * length
    }

    /// Whether a change of names survives.
    mutating func keepsName() -> Bool { drawn(names, 1) == 1 }

    /// Which of a sector's states survives: 0 is the durable one, `count` the newest.
    mutating func version(_ count: Int) -> Int { drawn(bytes, count) }

    /// Which of a file's sizes survives: 0 is the durable one, `count` the newest.
    mutating func size(_ count: Int) -> Int { drawn(sizes, count) }

    /// Where the last store to reach a sector was cut, at any byte of `length`; `nil` for not.
    mutating func tear(_ length: Int) -> Int? {
        if bytes == .oldest || bytes == .newest { return nil }
        return random.chance(25) ? random.below(length) : nil
    }

    /// A size on the way from one to the next: growth happens in steps of 4 KiB.
    mutating func step(from old: Int, to new: Int) -> Int {
        if sizes == .oldest || sizes == .newest || !random.chance(25) { return new }
        let steps = new / 4096 - old / 4096
        return steps <= 0 ? new : (old / 4096 + 1 + random.below(steps)) * 4096
    }

    private mutating func drawn(_ lean: Lean, _ count: Int) -> Int {
        switch lean {
        case .oldest: 0
        case .newest: count
        case .mixed: random.below(count + 1)
        case .mostlyOldest: random.chance(80) ? 0 : random.below(count + 1)
        case .mostlyNewest: random.chance(80) ? count : random.below(count + 1)
        }
    }
}
