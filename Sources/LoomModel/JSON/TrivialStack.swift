/// A stack of plain values in memory of its own: what an array is, without its checks for sharing.
///
/// The encoder touches its stacks several times a member; through arrays in a class each touch
/// costs an exclusivity and a uniqueness check, and the whole came to half of Foundation's time
/// instead of a third. Every index is checked against the count.
@safe final class TrivialStack<Element: BitwiseCopyable> {
    private var base: UnsafeMutablePointer<Element>
    private var capacity: Int
    private(set) var count = 0

    init(capacity: Int) {
        self.capacity = capacity
        unsafe base = .allocate(capacity: capacity)
    }

    deinit { unsafe base.deallocate() }

    @inline(__always)
    func append(_ element: Element) {
        if count == capacity { grow(to: count + 1) }
        unsafe (base + count).initialize(to: element)
        count += 1
    }

    @inline(__always)
    subscript(index: Int) -> Element {
        get {
            precondition(index >= 0 && index < count)
            return unsafe base[index]
        }
        set {
            precondition(index >= 0 && index < count)
            unsafe base[index] = newValue
        }
    }

    /// Changes one element in place.
    @inline(__always)
    func update(_ index: Int, _ change: (inout Element) -> Void) {
        precondition(index >= 0 && index < count)
        unsafe change(&base[index])
    }

    /// Forgets what lies above.
    @inline(__always)
    func truncate(to count: Int) {
        precondition(count >= 0 && count <= self.count)
        self.count = count
    }

    /// Appends a run of elements.
    @inline(__always)
    func append(contentsOf source: UnsafeBufferPointer<Element>) {
        guard let start = source.baseAddress, source.count > 0 else { return }
        if capacity - count < source.count { grow(to: count + source.count) }
        unsafe (base + count).update(from: start, count: source.count)
        count += source.count
    }

    /// What is on the stack, for the time of the call.
    @inline(__always)
    func withElements<Result>(_ body: (UnsafeBufferPointer<Element>) -> Result) -> Result {
        unsafe body(UnsafeBufferPointer(start: base, count: count))
    }

    /// Appends `added` elements, all of which `body` has to set.
    @inline(__always)
    func append(count added: Int, _ body: (UnsafeMutableBufferPointer<Element>) -> Void) {
        guard added > 0 else { return }
        if capacity - count < added { grow(to: count + added) }
        unsafe body(UnsafeMutableBufferPointer(start: base + count, count: added))
        count += added
    }

    @inline(never)
    private func grow(to needed: Int) {
        let larger = max(needed, capacity * 2)
        let next = UnsafeMutablePointer<Element>.allocate(capacity: larger)
        unsafe next.update(from: base, count: count)
        unsafe base.deallocate()
        unsafe base = next
        capacity = larger
    }
}
