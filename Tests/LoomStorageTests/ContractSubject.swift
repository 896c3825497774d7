import Foundation
import LoomStorage
import SystemPackage
import Testing

/// The implementations that one contract holds for.
enum ContractSubject: String, CaseIterable, CustomTestStringConvertible {
    case diskMapped, diskPositional, memoryMapped, simulatedMapped, simulatedPositional

    var testDescription: String { rawValue }

    /// Those that this machine has.
    static var present: [ContractSubject] {
        allCases.filter { subject in
            guard subject == .memoryMapped else { return true }
            return FileManager.default.isWritableFile(atPath: "/dev/shm")
        }
    }

    /// Whether mapped stores must be possible: elsewhere than here the real disk decides.
    var mapsForSure: Bool { self == .memoryMapped || self == .simulatedMapped }
    /// Whether mapped stores must be impossible.
    var neverMaps: Bool { self == .diskPositional || self == .simulatedPositional }

    func workspace() throws -> Workspace {
        switch self {
        case .diskMapped: try Workspace(POSIXStorage(), below: NSTemporaryDirectory())
        case .diskPositional:
            try Workspace(POSIXStorage(allowsMapping: false), below: NSTemporaryDirectory())
        case .memoryMapped: try Workspace(POSIXStorage(), below: "/dev/shm")
        case .simulatedMapped: try Workspace(SimulatedStorage(), below: "/")
        case .simulatedPositional:
            try Workspace(SimulatedStorage(supportsMapping: false), below: "/")
        }
    }
}

/// An empty folder of its own in some storage; the real ones are removed at the end.
final class Workspace {
    let storage: any Storage
    let root: FilePath

    init(_ storage: any Storage, below parent: String) throws {
        self.storage = storage
        root = FilePath(parent).appending("loom-contract-\(UUID().uuidString)")
        try storage.createDirectory(root)
    }

    deinit {
        if storage is POSIXStorage { try? FileManager.default.removeItem(atPath: root.string) }
    }

    func path(_ name: String) -> FilePath { root.appending(name) }
}
