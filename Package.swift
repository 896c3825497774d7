// swift-tools-version: 6.2

import PackageDescription

/// Tests forge bytes: there `unsafe` on every line would say nothing.
let testSettings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableExperimentalFeature("Lifetimes"),
    .treatAllWarnings(as: .error),
]
let settings = testSettings + [.strictMemorySafety()]

let argumentParser: Target.Dependency = .product(
    name: "ArgumentParser", package: "swift-argument-parser")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let subprocess: Target.Dependency = .product(name: "Subprocess", package: "swift-subprocess")
let systemPackage: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")

// One direction, no circles: DESIGN of the modules is held by Tests/TidyTests/LayeringTests.swift.
let package = Package(
    name: "loomlog",
    products: [
        .library(name: "LoomFormat", targets: ["LoomFormat"]),
        .library(name: "LoomStorage", targets: ["LoomStorage"]),
        .library(name: "LoomLog", targets: ["LoomLog"]),
        .library(name: "LoomModel", targets: ["LoomModel"]),
        .library(name: "LoomRuns", targets: ["LoomRuns"]),
        .library(name: "LoomRunner", targets: ["LoomRunner"]),
        .library(name: "LoomStdio", targets: ["LoomStdio"]),
        .library(name: "LoomCommands", targets: ["LoomCommands"]),
        .library(name: "LoomTesting", targets: ["LoomTesting", "LoomStorage"]),
        .executable(name: "loomlog", targets: ["loomlog"]),
        .executable(name: "docs-agent", targets: ["docs-agent"]),
        .executable(name: "counter-agent", targets: ["counter-agent"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.5.0"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
    ],
    targets: [
        .systemLibrary(
            name: "CLZ4", pkgConfig: "liblz4",
            providers: [.apt(["liblz4-dev"]), .brew(["lz4"])]),
        .systemLibrary(
            name: "CXXHash", pkgConfig: "libxxhash",
            providers: [.apt(["libxxhash-dev"]), .brew(["xxhash"])]),
        // Not CSystem, as swift-system has a target of that name.
        .target(name: "CLoomSystem"),
        .target(name: "LoomFormat", dependencies: ["CLZ4", "CXXHash"], swiftSettings: settings),
        .target(
            name: "LoomStorage", dependencies: ["CLoomSystem", systemPackage],
            swiftSettings: settings),
        .target(
            name: "LoomLog", dependencies: ["LoomFormat", "LoomStorage", systemPackage],
            swiftSettings: settings),
        .target(name: "LoomModel", dependencies: ["LoomFormat"], swiftSettings: settings),

        .target(
            name: "LoomRuns",
            dependencies: ["LoomFormat", "LoomModel", "LoomLog", "LoomStorage", systemPackage],
            swiftSettings: settings),
        .target(
            name: "LoomRunner",
            dependencies: [
                "LoomFormat", "LoomModel", "LoomLog", "LoomRuns", "LoomStorage", logging,
                systemPackage,
            ],
            swiftSettings: settings),

        .target(
            name: "LoomStdio",
            dependencies: [
                "CLoomSystem", "LoomFormat", "LoomModel", "LoomStorage", "LoomRunner", logging,
                systemPackage,
            ],
            swiftSettings: settings),
        .target(
            name: "LoomTesting",
            dependencies: [
                "LoomFormat", "LoomStorage", "LoomLog", "LoomModel", "LoomRuns", "LoomRunner",
                logging, systemPackage,
            ],
            swiftSettings: settings),
        .target(
            name: "LoomInspect",
            dependencies: ["LoomFormat", "LoomModel", "LoomStorage", systemPackage],
            swiftSettings: settings),
        // The agent of the demonstration: shared by docs-agent and `loomlog demo`.
        .target(
            name: "LoomDemo", dependencies: ["LoomModel", "LoomRunner"], swiftSettings: settings),
        .target(
            name: "LoomCommands",
            dependencies: [
                "LoomFormat", "LoomModel", "LoomLog", "LoomRuns", "LoomRunner", "LoomInspect",
                "LoomStdio", "LoomDemo", argumentParser, logging, subprocess, systemPackage,
            ],
            swiftSettings: settings),
        .executableTarget(name: "loomlog", dependencies: ["LoomCommands"], swiftSettings: settings),
        .executableTarget(
            name: "docs-agent", dependencies: ["LoomCommands", "LoomDemo"],
            swiftSettings: settings),
        .executableTarget(
            name: "counter-agent",
            dependencies: ["LoomCommands", "LoomModel", "LoomRunner", argumentParser],
            swiftSettings: settings),

        .executableTarget(
            name: "store-shapes",
            dependencies: ["LoomFormat", "LoomStorage", "LoomLog", systemPackage],
            path: "Tools/store-shapes", swiftSettings: settings),

        .executableTarget(
            name: "crash-writer",
            dependencies: ["LoomFormat", "LoomStorage", "LoomLog", systemPackage],
            path: "Tools/crash-writer", swiftSettings: settings),
        .executableTarget(
            name: "fork-writer",
            dependencies: ["LoomFormat", "LoomStorage", "LoomLog", systemPackage],
            path: "Tools/fork-writer", swiftSettings: testSettings),
        .executableTarget(
            name: "crash-loop",
            dependencies: ["LoomFormat", "LoomModel", "LoomLog", "LoomRunner", systemPackage],
            path: "Tools/crash-loop", swiftSettings: settings),

        .executableTarget(
            name: "stdio-loops",
            dependencies: [
                "LoomFormat", "LoomModel", "LoomLog", "LoomRunner", "LoomStdio", systemPackage,
            ],
            path: "Tools/stdio-loops", swiftSettings: settings),

        .testTarget(
            name: "LoomFormatTests", dependencies: ["LoomFormat", "LoomTesting"],
            swiftSettings: testSettings),
        .testTarget(
            name: "LoomModelTests", dependencies: ["LoomModel", "LoomTesting"],
            swiftSettings: settings),
        .testTarget(
            name: "LoomStorageTests", dependencies: ["CLoomSystem", "LoomStorage", systemPackage],
            swiftSettings: testSettings),
        .testTarget(
            name: "LoomLogTests",
            dependencies: [
                "LoomLog", "LoomStorage", "LoomFormat", "crash-writer", "fork-writer",
                "store-shapes",
                systemPackage,
            ],
            swiftSettings: settings),
        .testTarget(
            name: "LoomInspectTests",
            dependencies: [
                "LoomInspect", "LoomLog", "LoomStorage", "LoomFormat", "LoomModel", "LoomTesting",
                systemPackage,
            ],
            swiftSettings: testSettings),
        .testTarget(
            name: "LoomRunsTests",
            dependencies: [
                "LoomRuns", "LoomFormat", "LoomModel", "LoomLog", "LoomRunner", "LoomStorage",
                "LoomTesting", systemPackage,
            ],
            swiftSettings: settings),
        .testTarget(
            name: "LoomRunnerTests",
            dependencies: [
                "LoomRunner", "LoomRuns", "LoomLog", "LoomStorage", "LoomTesting", "crash-loop",
                logging, subprocess, systemPackage,
            ],
            swiftSettings: settings),
        .testTarget(
            name: "LoomStdioTests",
            dependencies: [
                "LoomStdio", "LoomFormat", "LoomModel", "LoomLog", "LoomRunner", "LoomRuns",
                "LoomTesting", "stdio-loops", subprocess, systemPackage,
            ],
            exclude: ["Programs"], swiftSettings: settings),
        .testTarget(
            name: "LoomCommandsTests",
            dependencies: [
                "LoomCommands", "LoomFormat", "LoomModel", "LoomLog", "LoomRunner", "LoomRuns",
                "LoomTesting", "loomlog", "counter-agent", subprocess, "docs-agent", systemPackage,
            ],
            exclude: ["Databases", "Parity", "Programs", "Transcripts"], swiftSettings: settings),
        .testTarget(
            name: "LoomTestingTests",
            dependencies: [
                "LoomTesting", "LoomFormat", "LoomModel", "LoomLog", "LoomRunner", "LoomStorage",
                systemPackage,
            ],
            swiftSettings: settings),
        .testTarget(name: "TidyTests", swiftSettings: settings),
    ]
)
