import Foundation
import LoomFormat
import LoomLog
import LoomStorage
import SystemPackage

func seconds(_ body: () throws -> Void) rethrows -> Double {
    let t = DispatchTime.now().uptimeNanoseconds
    try body()
    return Double(DispatchTime.now().uptimeNanoseconds - t) / 1e9
}
let dir = FilePath(CommandLine.arguments.dropFirst().first ?? "/work/bench-tmp")
for mapping in [true, false] {
    for mode in [Durability.off, .normal] {
        try? FileManager.default.removeItem(atPath: dir.string)
        try FileManager.default.createDirectory(atPath: dir.string, withIntermediateDirectories: true)
        let w = try LogWriter(path: dir.appending("l"), options: LogOptions(durability: mode), storage: POSIXStorage(allowsMapping: mapping))
        let body = [UInt8](repeating: 7, count: 27)
        var u = RecordUnit(run: try RunID("bench"), epoch: 1, position: 0)
        let n = mapping ? 3_000_000 : 500_000
        let s = try seconds {
            for i in 0..<n {
                u.removeAll(nextPosition: UInt64(i))
                u.append(body)
                let a = try w.append(u)
                if a.needsSync { try w.waitUntilDurable(a.position) }
            }
        }
        let c = try seconds { try w.close() }
        print(mapping ? "mapped" : "pwrite", mode, Int(Double(n) / s), "per second; close", c)
    }
}
for appenders in [1, 64] {
    try? FileManager.default.removeItem(atPath: dir.string)
    try FileManager.default.createDirectory(atPath: dir.string, withIntermediateDirectories: true)
    let w = try LogWriter(path: dir.appending("l"), options: LogOptions(durability: .full))
    let body = [UInt8](repeating: 7, count: 27)
    let n = appenders == 1 ? 1000 : 400
    let t = DispatchTime.now().uptimeNanoseconds
    await withTaskGroup(of: Void.self) { g in
        for k in 0..<appenders {
            g.addTask {
                var u = RecordUnit(run: try! RunID("bench\(k)"), epoch: 1, position: 0)
                for i in 0..<n {
                    u.removeAll(nextPosition: UInt64(i))
                    u.append(body)
                    let a = try! w.append(u)
                    await withCheckedContinuation { c in w.whenDurable(a.position) { _ in c.resume() } }
                }
            }
        }
    }
    let s = Double(DispatchTime.now().uptimeNanoseconds - t) / 1e9
    print("full", appenders, Int(Double(n * appenders) / s))
    try w.close()
}
do {
    let w = try LogWriter(path: dir.appending("m"), options: LogOptions(durability: .full))
    var u = RecordUnit(run: try RunID("bench"), epoch: 1, position: 0)
    let body = [UInt8](repeating: 7, count: 27)
    let s = try seconds { for i in 0..<1000 { u.removeAll(nextPosition: UInt64(i)); u.append(body); try w.commit(u) } }
    print("full blocking 1:", Int(1000 / s))
    try w.close()
    let f = try POSIXStorage().create(dir.appending("raw"))
    try f.fillZeros(from: 0, to: 1 << 20); try f.sync()
    let r = try seconds { for i in 0..<1000 { try f.writeBytes([UInt8](repeating: 3, count: 104), at: i * 104); try f.syncData() } }
    print("raw fdatasync:", Int(1000 / r))
}
