public import SystemPackage

/// The files of a store and their durability: the engine's only way to the operating system.
///
/// It knows no format. The contract, which one suite of tests holds every implementation to:
///
/// - A call that returns has happened for every process of this machine; it survives the end of the
///   process. It survives the loss of power only after the syncs named below.
/// - The bytes of a file are durable after ``StorageFile/syncData()`` (bytes inside the size that
///   the last full sync knew) or ``StorageFile/sync()`` (bytes and size).
/// - The *entry* of a file or folder is durable after ``syncDirectory(_:)`` of the folder that
///   holds it: a creation, a removal, and a rename, whose new folder is the one that counts.
/// - A call that throws may have happened in part, except where its documentation says otherwise.
///   After a failed sync nothing is known of any byte written since the last good one: the file
///   must not be synced again and believed.
/// - Every call is thread-safe. Calls on one file from two threads are not ordered by it.
public protocol Storage: Sendable {
    /// Holds on to the folder at `path`: what is below it is found there from now on, also when the
    /// folder is renamed or another takes its name.
    func anchored(at path: FilePath) throws(StorageError) -> any AnchoredStorage

    /// Creates a folder. Throws `fileExists` when something has that name.
    func createDirectory(_ path: FilePath) throws(StorageError)
    /// The same, for a folder that nobody but the owner may enter, whatever the permissions of
    /// those around it.
    func createPrivateDirectory(_ path: FilePath) throws(StorageError)
    /// The names in a folder, in no order.
    func list(_ path: FilePath) throws(StorageError) -> [String]
    /// Gives a file or folder another name. Never replaces: throws `fileExists`.
    func rename(_ path: FilePath, to target: FilePath) throws(StorageError)
    /// Gives a file another name beside the one that it has. Never replaces: throws `fileExists`.
    ///
    /// Throws where the file system has no such names, or the new one would be on another device;
    /// `operationNotSupported` where the storage has none. A link is durable when its folder is
    /// synced; what stands in the file is durable by the file's own syncs.
    func link(_ path: FilePath, to target: FilePath) throws(StorageError)
    /// Removes a file. Readers that have it open go on reading it.
    func remove(_ path: FilePath) throws(StorageError)
    /// Removes a folder that is empty.
    func removeDirectory(_ path: FilePath) throws(StorageError)
    /// Makes the entries of a folder durable.
    func syncDirectory(_ path: FilePath) throws(StorageError)
    /// Returns how many bytes new files may still take on the device that holds a folder.
    ///
    /// It is what the device has left for ordinary programs, and a hint: others take space too, and
    /// a quota may end earlier. `Int.max` where the system does not say.
    func availableBytes(at path: FilePath) throws(StorageError) -> Int

    /// Creates an empty file, open for reading and writing. Throws `fileExists`, never opens one.
    func create(_ path: FilePath) throws(StorageError) -> any StorageFile
    /// Opens a file that is there. Throws `isDirectory` for a folder.
    ///
    /// Only a regular file: a symbolic link, a FIFO or a device is refused with an error that says
    /// so in ``StorageError/irregular``, and is neither followed nor waited for.
    func open(_ path: FilePath, for access: FileAccess) throws(StorageError) -> any StorageFile

    /// Locks a file for the life of the returned object, and writes who holds it into the file.
    ///
    /// Excludes other processes and other calls in this one. It never waits: while another holds
    /// the lock it throws an error that ``StorageError/isHeld`` and has the holder's text.
    func lock(_ path: FilePath, holder: String) throws(StorageError) -> any StorageLock
    /// The text of whoever holds the lock, `nil` when nobody does. Takes no lock.
    func lockHolder(_ path: FilePath) throws(StorageError) -> String?

    /// Watches a folder for names that are moved into it.
    ///
    /// Throws where the system cannot: then a ``SlowWatch`` takes its place.
    func watch(_ path: FilePath) throws(StorageError) -> any FolderWatch

    /// Pins a number of a file for the life of the returned object: a shared lock, which others may
    /// hold too, and which excludes nobody. It also works without the right to write the file, and
    /// never waits.
    ///
    /// Numbers are below 2^62. Throws `noSuchFileOrDirectory` when there is no such file.
    func pin(_ path: FilePath, number: UInt64) throws(StorageError) -> any StoragePin
    /// The least number below a limit that anybody has pinned, also in this process; `nil` when
    /// there is none.
    func leastPin(_ path: FilePath, below limit: UInt64) throws(StorageError) -> UInt64?

    /// What this machine says of itself and of the time.
    var machine: any Machine { get }
}

/// What a file is opened for.
public enum FileAccess: Hashable, Sendable {
    /// Reading only: never changes a byte.
    case reading
    /// Reading and writing.
    case writing
}

/// How bytes reach the file in ``StorageFile/store(_:at:surface:)``.
public enum AppendSurface: String, Hashable, Sendable, CaseIterable {
    /// Copied into a shared mapping: no system call, but page faults after each sync.
    case mapped
    /// `pwrite`.
    case positional
}

/// Which file this is, however it is named.
public struct FileIdentity: Hashable, Sendable {
    /// The device that holds it.
    public let device: UInt64
    /// Its number on that device.
    public let inode: UInt64

    /// Creates an identity.
    public init(device: UInt64, inode: UInt64) {
        self.device = device
        self.inode = inode
    }
}

/// An open file. See ``Storage`` for what is durable when.
public protocol StorageFile: AnyObject, Sendable {
    /// The path that it was opened by, for messages.
    var path: FilePath { get }
    /// Which file this is.
    var identity: FileIdentity { get }
    /// Its size in bytes.
    func size() throws(StorageError) -> Int
    /// The number of the user that owns it; `nil` where there are no users.
    func owner() throws(StorageError) -> UInt32?

    /// Reads into `target` from `offset`; the count is short only at the end of the file.
    func read(
        into target: UnsafeMutableRawBufferPointer, at offset: Int
    ) throws(StorageError) -> Int
    /// Writes all the bytes, growing the file as needed.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(StorageError)
    /// Writes zeros from `offset` up to `end`, so that the space is the file's own.
    ///
    /// May be out of space, with the file grown as far as it went.
    func fillZeros(from offset: Int, to end: Int) throws(StorageError)
    /// Gives back the space of a file behind `size`; a file that is not larger stays as it is.
    ///
    /// The size is durable after ``sync()``. Before that, a power loss leaves the old size or the
    /// new one. Nothing may be stored behind `size` until the space is filled again.
    func truncate(to size: Int) throws(StorageError)

    /// Prepares the mapped surface for the first `length` bytes, which must be filled.
    ///
    /// May be called again with a greater length, also while others store.
    ///
    /// - Returns: Whether mapped stores are possible: only where they cannot run out of space.
    func mapForAppending(length: Int) throws(StorageError) -> Bool
    /// Makes ``loadWord(at:)`` within the first `length` bytes cost no system call, in a file that
    /// was opened for reading.
    ///
    /// - Returns: Whether it does; where it does not, words are loaded as before.
    func mapForLoading(length: Int) throws(StorageError) -> Bool
    /// Stores bytes inside filled space; in the kernel, and visible to readers, when it returns.
    ///
    /// A crash may cut it at any byte. `mapped` falls back to `positional` without a mapping.
    func store(
        _ bytes: UnsafeRawBufferPointer, at offset: Int, surface: AppendSurface
    ) throws(StorageError)
    /// Stores eight aligned bytes inside filled space as one: readers see the old or the new word.
    ///
    /// In the file they are little-endian. Throws `invalidArgument` where `offset` is not aligned.
    func storeWord(_ word: UInt64, at offset: Int) throws(StorageError)
    /// Loads eight aligned bytes as one. What was stored before the word that it sees is visible.
    func loadWord(at offset: Int) throws(StorageError) -> UInt64

    /// Makes stores and writes inside the known size durable that returned before this call began.
    func syncData() throws(StorageError)
    /// Makes bytes and size durable.
    func sync() throws(StorageError)
    /// Forgets clean pages, so that the next read judges the disk. A hint.
    func dropCache()
    /// Closes the file. Not a sync. Calling it twice is allowed.
    ///
    /// Later calls throw `badFileDescriptor`; those in progress are finished, but for a mapped
    /// store, which throws when the mapping went before it was done. The file is no longer mapped
    /// when this returns.
    func close() throws(StorageError)
}

extension StorageFile {
    /// Of a storage without mappings.
    public func mapForLoading(length: Int) throws(StorageError) -> Bool { false }
}

/// A lock that is held until it is released or goes away.
public protocol StorageLock: AnyObject, Sendable {
    /// The file that is locked, with the bytes that the holder wrote into it.
    var place: FilePlace { get }
    /// Gives the lock up. Calling it twice is allowed.
    func release()
}

/// A number that stays pinned until it is released or goes away.
public protocol StoragePin: AnyObject, Sendable {
    /// Gives the pin up. Calling it twice is allowed.
    func release()
}

/// What a machine says of itself: injected, so that a simulation is the same at every run.
public protocol Machine: Sendable {
    /// The identity of this boot, 16 bytes as two words; `nil` where the system has none.
    var boot: (UInt64, UInt64)? { get }
    /// This process, for people: `pid 4711 on host`.
    var processDescription: String { get }
    /// Microseconds since 1970-01-01 UTC.
    func wallMicroseconds() -> UInt64
    /// Nanoseconds on a clock that never goes back.
    func monotonicNanoseconds() -> UInt64
    /// 64 random bits.
    func random() -> UInt64
    /// Waits on the calling thread.
    func sleep(nanoseconds: UInt64)
}

extension Storage {
    /// For a storage whose files have one name: refuses.
    public func link(_ path: FilePath, to target: FilePath) throws(StorageError) {
        throw StorageError(.link, target, .notSupported)
    }
}

extension StorageFile {
    /// Nobody.
    public func owner() throws(StorageError) -> UInt32? { nil }

    /// Reads up to `count` bytes from `offset` into a fresh array; shorter at the end of the file.
    public func readBytes(count: Int, at offset: Int) throws(StorageError) -> [UInt8] {
        var bytes: [UInt8] = []
        try readBytes(count: count, at: offset, into: &bytes)
        return bytes
    }

    /// The same in place of what an array holds, whose memory is kept: for whoever reads one piece
    /// after the other. When it throws, the array is empty.
    public func readBytes(
        count: Int, at offset: Int, into bytes: inout [UInt8]
    ) throws(StorageError) {
        bytes.removeAll(keepingCapacity: true)
        var failure: StorageError?
        bytes.append(addingCapacity: count) { span in
            unsafe span.withUnsafeMutableBufferPointer { memory, initializedCount in
                // Memory of a larger array may be kept; no more is read than was asked for.
                let target = UnsafeMutableRawBufferPointer(memory.extracting(..<count))
                do throws(StorageError) {
                    initializedCount = unsafe try self.read(into: target, at: offset)
                } catch {
                    failure = error
                }
            }
        }
        if let failure { throw failure }
    }

    /// Writes all of an array at `offset`, growing the file as needed.
    public func writeBytes(_ bytes: [UInt8], at offset: Int) throws(StorageError) {
        var failure: StorageError?
        unsafe bytes.withUnsafeBytes { source in
            do throws(StorageError) {
                unsafe try write(source, at: offset)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }
}
