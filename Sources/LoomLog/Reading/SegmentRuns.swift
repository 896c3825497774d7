internal import LoomFormat

/// The runs that a segment has declared, each known by a place in an array: a name that is counted
/// would be for every event.
struct SegmentRuns {
    /// The names that runs were declared by, in order.
    private(set) var names: [RunID] = []
    /// Which of the names each number stands for.
    private var places: [UInt64: Int] = [:]
    /// Of numbers that were declared again by another name, which no writer does: each name once,
    /// so that memory does not grow with the declarations.
    private var renamed: [RunID: Int] = [:]

    /// What a unit declares: it holds for the rest of the unit, and for the segment once the unit
    /// is accepted.
    struct Declarations {
        fileprivate var names: [RunID] = []
        fileprivate var places: [UInt64: Int] = [:]
        fileprivate var renamed: [RunID: Int] = [:]
    }

    /// How many numbers stand for a run.
    var count: Int { places.count }

    /// The run of each number.
    var byNumber: [UInt64: RunID] { places.mapValues { names[$0] } }

    /// The place of a number's name; `nil` when it was never declared.
    func place(of number: UInt64, _ unit: Declarations?) -> Int? {
        if let place = unit?.places[number] { return place }
        return places[number]
    }

    /// Lets a number stand for a run, for the rest of a unit.
    func declare(_ number: UInt64, as name: RunID, in unit: inout Declarations) {
        guard let before = place(of: number, unit) else {
            return unit.places[number] = add(name, to: &unit)
        }
        let known = before < names.count ? names[before] : unit.names[before - names.count]
        if known == name { return }
        let place = unit.renamed[name] ?? renamed[name] ?? add(name, to: &unit)
        unit.renamed[name] = place
        unit.places[number] = place
    }

    private func add(_ name: RunID, to unit: inout Declarations) -> Int {
        unit.names.append(name)
        return names.count + unit.names.count - 1
    }

    /// Takes over what an accepted unit declared.
    mutating func keep(_ unit: Declarations) {
        names += unit.names
        places.merge(unit.places) { $1 }
        renamed.merge(unit.renamed) { $1 }
    }
}
