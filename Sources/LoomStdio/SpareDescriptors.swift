internal import CLoomSystem
internal import Synchronization

/// Descriptors that no step program may take, because others of this process end it, or lose
/// something, when they get none.
///
/// Above all the library behind Swift's tasks: once a second it opens a file of `/proc` for each of
/// its threads, and where it cannot, it ends the process (`_dispatch_workq_monitor_pools`). The
/// first sleep of a process opens one for its timer, likewise, and a log opens its next segment.
enum SpareDescriptors {
    /// How many stay free.
    static let count = 8

    /// Held from the look at what is free until it is taken, so that two programs that start at
    /// once do not count on the same ones.
    private static let turn = Mutex(())

    /// Opens so many descriptors by `open`, when that leaves the spare ones.
    ///
    /// - Throws: ``StepProgramError/noResources(_:)``; what `open` throws.
    static func opening<Result>(
        _ number: Int, _ open: () throws(StepProgramError) -> Result
    ) throws(StepProgramError) -> Result {
        try turn.withLock { _ throws(StepProgramError) in
            try ProgramCommand.check(loom_check_free_descriptors(number + count), "its pipes")
            return try open()
        }
    }
}
