// swift-tools-version: 6.2

import PackageDescription

let loomlog = ["LoomFormat", "LoomStorage", "LoomLog", "LoomModel", "LoomRunner", "LoomRuns"].map {
    Target.Dependency.product(name: $0, package: "loomlog")
}

let package = Package(
    name: "benchmarks",
    dependencies: [
        .package(name: "loomlog", path: ".."),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
    ],
    targets: [
        .target(name: "BenchmarkSupport"),
        .executableTarget(
            name: "AppendBenchmark",
            dependencies: loomlog + [
                "BenchmarkSupport",
                .product(name: "SystemPackage", package: "swift-system"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        .executableTarget(
            name: "RunnerBenchmark",
            dependencies: loomlog + [
                "BenchmarkSupport", .product(name: "SystemPackage", package: "swift-system"),
            ]),
        .executableTarget(
            name: "ReadBenchmark",
            dependencies: loomlog + [
                "BenchmarkSupport", .product(name: "SystemPackage", package: "swift-system"),
            ]),
        .executableTarget(
            name: "PaceBenchmark",
            dependencies: loomlog + [
                "BenchmarkSupport", .product(name: "SystemPackage", package: "swift-system"),
            ]),
        .executableTarget(
            name: "ArchiveBenchmark",
            dependencies: loomlog + [
                "BenchmarkSupport", .product(name: "SystemPackage", package: "swift-system"),
            ]),
        .executableTarget(
            name: "ModelBenchmark", dependencies: loomlog + ["BenchmarkSupport"]),
    ]
)
