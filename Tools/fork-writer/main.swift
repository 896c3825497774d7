// Forks while it has a log open, as Python's multiprocessing does, and tells on standard output
// what becomes of the log in the child. Use: fork-writer LOG both|orphan
//
//   both    the child tries every call of its parent's writer; the parent goes on and closes
//   orphan  the parent kills itself; the child prints its number when that is done, and lives on

import Foundation
import LoomFormat
import LoomLog
import LoomStorage
import SystemPackage

/// Swift hides the call, as a child has no threads and most libraries do not expect that.
let fork = unsafeBitCast(dlsym(nil, "fork"), to: (@convention(c) () -> pid_t).self)

func say(_ text: String) { FileHandle.standardOutput.write(Data("\(text)\n".utf8)) }

func unit(_ number: Int, isBarrier: Bool = false) throws -> RecordUnit {
    var unit = RecordUnit(
        run: try RunID("lines"), epoch: 1, position: UInt64(number), isBarrier: isBarrier)
    unit.append(Array("event \(number)".utf8))
    return unit
}

func tell(_ name: String, _ body: () throws -> Void) {
    do {
        try body()
        say("\(name): done")
    } catch {
        say("\(name): \(error)")
    }
}

/// What the child shares with its parent's writer.
func shared(_ log: String) -> (descriptors: Int, mappings: Int) {
    let folder = "/proc/self/fd/"
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    let targets = names.compactMap {
        try? FileManager.default.destinationOfSymbolicLink(atPath: folder + $0)
    }
    let file = try? POSIXStorage().open("/proc/self/maps", for: .reading)
    let bytes = (try? file?.readBytes(count: 4 << 20, at: 0)) ?? [0x3F]
    let maps = String(decoding: bytes, as: UTF8.self)
    // The directory itself may stay open: nothing can be written by that.
    return (
        targets.count { $0.hasPrefix(log + "/") },
        maps.split(separator: "\n").count { $0.contains(log) }
    )
}

func child(_ log: String, _ writer: LogWriter) throws {
    let before = LogPosition(nextSequence: 11)
    tell("append") { try writer.append(unit(10)) }
    tell("barrier") { try writer.commit(unit(10, isBarrier: true)) }
    tell("wait") { try writer.waitUntilDurable(before) }
    writer.whenDurable(before) { error in tell("callback") { if let error { throw error } } }
    tell("close") { try writer.close() }
    let (descriptors, mappings) = shared(log)
    say("shares \(descriptors) descriptors and \(mappings) mappings")
    tell("the same log") { _ = try LogWriter(path: FilePath(log)) }
    tell("a log of its own") {
        let own = try LogWriter(path: FilePath(log + ".child"))
        try own.commit(unit(0, isBarrier: true))
        try own.close()
    }
    let events = try LogReader(path: FilePath(log)).cursor()
    say("reads from \(events.position.nextSequence)")
}

let arguments = CommandLine.arguments
guard arguments.count == 3, ["both", "orphan"].contains(arguments[2]) else { exit(64) }
let log = arguments[1]
let writer = try LogWriter(path: FilePath(log))
for number in 0..<10 { try writer.append(unit(number)) }

let parent = getpid()
switch (arguments[2], fork()) {
case ("both", 0):
    tell("child") { try child(log, writer) }
    _exit(0)
case ("both", let pid):
    var status: Int32 = 0
    waitpid(pid, &status, 0)
    say("the child ended with \(status)")
    for number in 10..<20 { try writer.commit(unit(number, isBarrier: number % 5 == 0)) }
    try writer.close()
    say("the parent closed")
case (_, 0):
    while getppid() == parent { usleep(1000) }
    say("child \(getpid())")
    sleep(60)
    _exit(0)
default:
    kill(getpid(), SIGKILL)
}
