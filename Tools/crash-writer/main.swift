// Appends the lines of a text as events, one commit a line, until it is killed. After each
// acknowledged commit it prints the number of its line, so that whoever kills it knows what must be
// there. Use: crash-writer LOG TEXT off|normal|full [mapped|positional]

import Foundation
import LoomFormat
import LoomLog
import LoomStorage
import SystemPackage

let arguments = CommandLine.arguments
guard arguments.count >= 4, let durability = Durability(rawValue: arguments[3]) else {
    FileHandle.standardError.write(Data("usage: crash-writer LOG TEXT MODE [SURFACE]\n".utf8))
    exit(64)
}
let lines = try String(contentsOfFile: arguments[2], encoding: .utf8)
    .split(separator: "\n", omittingEmptySubsequences: false).map { Array($0.utf8) }

var options = LogOptions(durability: durability)
// Small segments, so that kills fall into rolls as well.
options.firstSegmentBytes = 64 << 10
options.segmentBytesMax = 256 << 10
options.syncDelayNanoseconds = 3_000_000
options.idleMarkNanoseconds = 1_000_000
let storage = POSIXStorage(allowsMapping: arguments.count < 5 || arguments[4] == "mapped")
let writer = try LogWriter(path: FilePath(arguments[1]), options: options, storage: storage)

var number = Int(writer.position.nextSequence) - 1
let run = try RunID("lines")
while true {
    var unit = RecordUnit(
        run: run, epoch: 1, position: UInt64(number), isBarrier: number % 50 == 0)
    unit.append(lines[number % lines.count])
    try writer.commit(unit)
    number += 1
    // One write call a line: a line is there whole or not at all.
    FileHandle.standardOutput.write(Data("\(number)\n".utf8))
    if number % 400 == 0 { storage.machine.sleep(nanoseconds: 4_000_000) }
}
