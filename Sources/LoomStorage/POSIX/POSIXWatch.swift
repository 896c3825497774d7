internal import CLoomSystem
internal import SystemPackage

/// inotify, with an event descriptor to be woken by.
final class POSIXWatch: FolderWatch {
    private let watch: CInt
    private let waker: CInt

    init(_ path: FilePath, in anchor: POSIXAnchor) throws(StorageError) {
        watch = try unsafe anchor.resolve(path, .watch) { unsafe loom_folder_watch_open($0, $1) }
        waker = watch < 0 ? watch : loom_waker_open()
        // `deinit` closes: all properties are set.
        try check(waker, .watch, path)
    }

    deinit {
        if watch >= 0 { _ = loom_close(watch) }
        if waker >= 0 { _ = loom_close(waker) }
    }

    func wait(nanoseconds: UInt64?) -> FolderChange {
        let limit = nanoseconds.map { Int64(min($0, UInt64(Int64.max))) } ?? -1
        let told = Int(loom_folder_watch_wait(watch, waker, limit))
        if told < 0 || told & LOOM_WATCH_GONE != 0 { return .gone }
        if told & LOOM_WATCH_NAMES != 0 { return .names }
        return told & LOOM_WATCH_WOKEN != 0 ? .woken : .nothing
    }

    func wake() { loom_waker_wake(waker) }
}
