// Forks while it has a log open, as Python's multiprocessing does, and tells on standard output
// what becomes of the log in the child. Use: fork-writer LOG both|orphan|reads
//
//   both    the child tries every call of its parent's writer; the parent goes on and closes
//   orphan  the parent kills itself; the child prints its number when that is done, and lives on
//   reads   the child goes on with an index that its parent has looked at the log with, lets it go,
//           and tells whether its own memory is what it was

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
    // The directory itself may stay open: nothing can be written by that.
    return (
        targets.count { $0.hasPrefix(log + "/") },
        mappings().count { $0.contains(log) }
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

/// The mappings of this process, a line each.
func mappings() -> [String] {
    let file = try? POSIXStorage().open("/proc/self/maps", for: .reading)
    let bytes = (try? file?.readBytes(count: 4 << 20, at: 0)) ?? [0x3F]
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
}

/// Where MARK is mapped to be read.
func placeOfMark(_ log: String) -> UInt? {
    mappings().first { $0.contains(" r--s ") && $0.hasSuffix(log + "/MARK") }
        .flatMap { $0.split(separator: "-").first }.flatMap { UInt($0, radix: 16) }
}

/// Memory of the child where its parent has mapped MARK.
func page(at place: UInt) -> UnsafeMutableRawPointer? {
    let (size, fixedWhereFree) = (4096, CInt(0x100000))
    let page = mmap(
        UnsafeMutableRawPointer(bitPattern: place), size, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | fixedWhereFree, -1, 0)
    guard let page, page != MAP_FAILED, UInt(bitPattern: page) == place else { return nil }
    memset(page, 0x78, size)
    return page
}

let arguments = CommandLine.arguments
guard arguments.count == 3, ["both", "orphan", "reads"].contains(arguments[2]) else { exit(64) }
let log = arguments[1]
let writer = try LogWriter(path: FilePath(log))
for number in 0..<10 { try writer.append(unit(number)) }

let parent = getpid()
var index: LogIndex?
if arguments[2] == "reads" {
    index = LogIndex(try LogReader(path: FilePath(log)))
    // The second look is answered from the words of MARK.
    for _ in 0..<2 { _ = try index?.view() }
}
let place = placeOfMark(log)
switch (arguments[2], fork()) {
case ("reads", 0):
    tell("child") {
        guard let place, let page = page(at: place) else { return say("no place for a page") }
        let live = try index?.view().live(RunID("lines"))
        say("reads up to \(live?.position ?? 0)")
        index = nil
        say("its memory is \(page.load(fromByteOffset: 17, as: UInt8.self))")
    }
    _exit(0)
case ("reads", let pid):
    var status: Int32 = 0
    waitpid(pid, &status, 0)
    try writer.append(unit(10))
    let live = try index?.view().live(RunID("lines"))
    say("the parent reads up to \(live?.position ?? 0)")
    try writer.close()
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
