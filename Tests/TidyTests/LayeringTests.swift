import Foundation
import Testing

/// The modules and what each may import: one direction, no circles. SwiftPM lets a transitive
/// import through, so the imports themselves are read.
@Suite struct LayeringTests {
    static let system: Set<String> = ["Glibc", "Darwin", "Synchronization"]

    static let allowed: [String: Set<String>] = [
        "LoomFormat": ["CLZ4", "CXXHash"],
        "LoomStorage": ["CLoomSystem", "SystemPackage", "Glibc", "Darwin", "Synchronization"],
        "LoomLog": ["LoomFormat", "LoomStorage", "SystemPackage", "Synchronization"],
        "LoomModel": ["LoomFormat", "Synchronization"],
        "LoomRuns": [
            "LoomFormat", "LoomModel", "LoomLog", "LoomStorage", "SystemPackage",
            "Synchronization",
        ],
        "LoomInspect": ["LoomFormat", "LoomModel", "LoomStorage", "SystemPackage"],
        "LoomRunner": [
            "LoomFormat", "LoomModel", "LoomLog", "LoomRuns", "LoomStorage", "Logging",
            "Synchronization", "SystemPackage", "FoundationEssentials", "Foundation", "Glibc",
        ],
        "LoomStdio": [
            "LoomFormat", "LoomModel", "LoomStorage", "LoomRunner", "CLoomSystem", "Logging",
            "Synchronization", "SystemPackage", "Foundation",
        ],
        "LoomTesting": [
            "LoomFormat", "LoomStorage", "LoomLog", "LoomModel", "LoomRuns", "LoomRunner",
            "Logging", "SystemPackage", "Synchronization", "Foundation",
        ],
        "LoomDemo": ["LoomModel", "LoomRunner", "Foundation"],
        "LoomCommands": [
            "LoomFormat", "LoomModel", "LoomStorage", "LoomLog", "LoomRuns", "LoomInspect",
            "LoomRunner", "LoomStdio", "LoomDemo", "ArgumentParser", "SystemPackage", "Logging",
            "Subprocess", "Synchronization", "Foundation", "Glibc",
        ],
        "loomlog": ["LoomCommands"],
        "docs-agent": ["LoomCommands", "LoomDemo"],
        "counter-agent": ["LoomCommands", "LoomModel", "LoomRunner", "ArgumentParser"],
    ]

    @Test("every module imports only what its layer allows")
    func importsFollowTheLayers() throws {
        let sources = try Source.all(below: "Sources")
        try #require(sources.count > 3)
        for source in sources {
            let allowed = try #require(
                Self.allowed[source.module], "\(source.module) has no row in LayeringTests")
            for name in source.imports where name != source.module {
                #expect(allowed.contains(name), "\(source.path) imports \(name)")
            }
        }
    }

    @Test("the table itself has no circle")
    func tableIsAcyclic() {
        func reaches(_ from: String, _ goal: String, _ depth: Int) -> Bool {
            guard depth > 0, let next = Self.allowed[from] else { return false }
            return next.contains(goal) || next.contains { reaches($0, goal, depth - 1) }
        }
        for module in Self.allowed.keys {
            #expect(!reaches(module, module, Self.allowed.count), "\(module) reaches itself")
        }
    }

    @Test("only LoomStorage speaks to the operating system")
    func onlyStorageCallsTheSystem() throws {
        let engine: Set<String> = ["LoomFormat", "LoomLog", "LoomModel", "LoomRuns", "LoomInspect"]
        let forbidden: Set<String> = ["Glibc", "Darwin", "Foundation", "CLoomSystem", "Dispatch"]
        for source in try Source.all(below: "Sources") where engine.contains(source.module) {
            #expect(forbidden.isDisjoint(with: source.imports), "\(source.path)")
        }
    }
}
