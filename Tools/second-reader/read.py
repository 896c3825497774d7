#!/usr/bin/env python3
"""A second, independent, read-only reader of loomlog directories, written from FORMAT.md alone.

    read.py LOG_DIRECTORY

Prints one JSON object a line. Exit: 0 read; 65 refused (corrupt, unsupported); 66 not a log; 64 usage.
LOCK is ignored: the active segment is read to the last complete unit that verifies. Of a MARK that counts on this boot
only what it vouches for is used (§8, rule B of §11).
Needs the packages lz4 and xxhash. "§" in a comment names a section of FORMAT.md.
"""
import json
import os
import re
import stat
import struct
import sys
from collections import ChainMap, namedtuple

import lz4.block
from xxhash import xxh3_64_intdigest as xxh64, xxh3_128_hexdigest as xxh128

BLOCK_LIMIT, UNIT_LIMIT, FILE_LIMIT = 4194304, 268435456, 1073741824           # §14
RUN_ID_LIMIT, SEGMENTS_LIMIT, SUPERSEDED_LIMIT, MANIFEST_LIMIT = 512, 50000, 8000, 8396800
CHUNK, PAGE, U64 = 1 << 20, 4096, (1 << 64) - 1
NUMBERS_END = 1 << 62
KINDS = {1: "events", 2: "filler", 3: "sync-mark", 4: "close", 5: "seal", 6: "manifest", 7: "table", 8: "directory"}
EVENTS, FILLER, SYNC_MARK, CLOSE, SEAL, MANIFEST, TABLE, DIRECTORY = KINDS
LIVE, ARCHIVE = 1, 2
RAW, LZ4, PACKED = 0, 1, 2                                                     # codecs
STATES = {1: "active", 2: "sealed", 3: "recovered"}
CONTINUES, BARRIER, FIRST_UNIT = 1, 2, 4

SegmentHeader = struct.Struct("<8sHHIIBBH16sQQQQQQQQQQQ")                      # §4, 128 bytes
BlockHeader = struct.Struct("<4sBBHIIQIIIIQQQ")                                # §5, 64 bytes
ManifestHead = struct.Struct("<HHIQ16sQQQQQQ")                                 # §7, 80 bytes
ManifestEntry = struct.Struct("<QBBB5sQQQQQQQQ")                               # §7, 80 bytes
SupersededEntry = struct.Struct("<QQQ")                                        # §7, 24 bytes
Block = namedtuple("Block", "offset end kind codec flags stored raw first events check durable aux "
                            "previous payload_hash hash")
Entry = namedtuple("Entry", "id role state tier ending first end valid_end last_hash salt "
                            "discarded discarded_hash events")
Superseded = namedtuple("Superseded", "id generation role")
Manifest = namedtuple("Manifest", "hash generation store writer_epoch next_segment segments superseded")


class Refused(Exception):
    """The log must be refused; code is "corrupt", "unsupported" or "not-a-log"."""
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Torn(Exception):
    """At this place stands no whole block: §5, checks 1 to 5, without what check 4 finds unsupported."""


def require(holds, message, code="corrupt"):
    if not holds:
        raise Refused(code, message)


def emit(**line):
    text = json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    sys.stdout.buffer.write(text.encode(errors="replace") + b"\n")


class File:
    """A regular file, read by offset; reads past its end are short. What cannot be read is Refused."""
    def __init__(self, path):
        try:
            self.fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise Refused("corrupt", f"{path}: {error.strerror}")
        info = os.fstat(self.fd)
        self.size, self.identity = info.st_size, (info.st_dev, info.st_ino)
        if not stat.S_ISREG(info.st_mode):
            os.close(self.fd)
            raise Refused("corrupt", f"{path}: not a regular file")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def read(self, offset, length):
        try:
            data = os.pread(self.fd, length, offset)
            while len(data) < length and (more := os.pread(self.fd, length - len(data), offset + len(data))):
                data += more
            return data
        except OSError as error:
            raise Refused("corrupt", f"reading at {offset}: {error.strerror}")

    def chunks(self, offset, overlap):
        """(offset, bytes) from offset to the end, in pieces that overlap."""
        for at in range(offset, self.size, CHUNK):
            yield at, self.read(at, CHUNK + overlap)


list_folder = os.listdir


# ---- Blocks (§5) -------------------------------------------------------------------------------------

def block_seed(salt, offset):
    return salt ^ (offset * 0x9E3779B97F4A7C15 & U64)


def parse_header(data, offset, seed):
    """Checks 1 to 3: the header of the block in `data`, or Torn."""
    if len(data) < 64 or not any(data):
        raise Torn("blank")
    fields = BlockHeader.unpack(data)
    if fields[0] != b"BLK1":
        raise Torn("no block magic")
    if fields[-1] != xxh64(data[:56], seed):
        raise Torn("header hash")
    return Block(offset, offset + 64 + (fields[4] + 7 & ~7), *fields[1:])


def read_block(file, offset, seed, limit, codecs=(RAW, LZ4)):
    """Checks 1 to 5: (block, stored payload); Torn, or Refused where this version must refuse."""
    block = parse_header(file.read(offset, min(64, limit - offset)), offset, seed)
    for holds, field in ((block.kind in KINDS, "kind"), (block.codec in codecs, "codec"),      # check 4
                         (block.flags & ~7 == 0, "flags"),
                         (block.aux == 0 or block.codec == PACKED, "aux")):
        require(holds, f"block at {offset}: {field} is none of this version", "unsupported")
    if block.codec == RAW:
        lengths = block.raw == block.stored and block.check == 0
    else:
        lengths = block.raw > block.stored
    if block.codec == PACKED and not 1 <= block.aux <= BLOCK_LIMIT:
        lengths = False
    if not lengths or block.raw > BLOCK_LIMIT:
        raise Torn("lengths or raw check")
    padded = file.read(offset + 64, block.end - offset - 64) if block.end <= limit else b""
    if len(padded) != block.end - offset - 64:
        raise Torn("payload past the end")
    if xxh64(padded, seed) != block.payload_hash:                              # check 5
        raise Torn("payload hash")
    return block, padded[:block.stored]


def decode(block, stored):
    """Check 8: the decoded payload."""
    if block.codec == RAW:
        return stored
    if block.codec == PACKED:
        data = unpack(lz4_decode(stored, block.aux), block.raw)
    else:
        data = lz4_decode(stored, block.raw)
    require(len(data) == block.raw, "raw length")
    require(xxh64(data) & 0xFFFFFFFF == block.check, "raw check")
    return data


def lz4_decode(stored, length):
    try:
        data = lz4.block.decompress(stored, uncompressed_size=length)
    except (lz4.block.LZ4BlockError, ValueError, MemoryError, OverflowError) as error:
        raise Refused("corrupt", f"LZ4: {error}")
    require(len(data) == length, "length of the decoded LZ4 block")
    return data


# ---- Packed rows (§6.1) ------------------------------------------------------------------------------

STEP, ATTEMPT, POSITION = range(3)
LEADING = {**dict.fromkeys((2, 3, 4, 7, 8), (STEP, ATTEMPT)), 5: (POSITION,), 18: (POSITION,),
           6: (STEP, ATTEMPT, POSITION), 9: (STEP,)}
SAME_TIME, SAME_NUMBERS, SAME_LENGTH = 128, 64, 32


def put_varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return out


def difference(data, at, end):
    """(a difference, as a number below 2^64 to be added modulo 2^64; offset behind it)"""
    value, at = varint(data, at, end)
    return (value >> 1) ^ (U64 if value & 1 else 0), at


def unpack(rows, raw):
    """The payload of the packed rows; stops when it grows past `raw` bytes."""
    end = len(rows)
    length, clock = varint(rows, 0, end)
    at = clock_end = clock + length
    require(at <= end, "times are longer than the packed rows")
    payload, known, kinds = bytearray(), False, {}
    run = epoch = position = sequence = 0  # of the next event
    time = step = attempt = 0              # the last ones

    def put(tag, content):
        payload.append(tag)
        payload.extend(put_varint(len(content)))
        payload.extend(content)
        require(len(payload) <= raw, "raw length")

    def take(length):
        nonlocal at
        require(length <= end - at, "packed rows are cut off")
        at += length
        return rows[at - length:at]

    while at < end:
        first = rows[at]
        at += 1
        kind, flags = first & 31, first & 0xE0
        if kind == 0:
            if flags == SAME_NUMBERS:
                length, at = varint(rows, at, end)
                put(1, take(length))
                continue
            require(flags in (0, SAME_TIME), "first byte of an entry")
            if flags == 0:
                run, at = varint(rows, at, end)
                epoch, at = varint(rows, at, end)
                position, at = varint(rows, at, end)
                step = attempt = 0
            require(known or flags == 0, "a jump before the first context")
            known = True
            delta, at = difference(rows, at, end)
            sequence = sequence + delta & U64
            put(2, b"".join(map(put_varint, (run, epoch, position, sequence))))
            continue
        require(known, "an event before the first context")
        if kind == 31:
            require(flags == 0, "first byte of an entry")
            length, at = varint(rows, at, end)
            put(3, take(length))
        else:
            if kind == 30:
                kind = take(1)[0]
                require(kind >= 30, "a kind below 30 behind a 30")
            if not flags & SAME_TIME:
                delta, clock = difference(rows, clock, clock_end)
                time = time + delta & U64
            fields = LEADING.get(kind, ())
            deltas, length = kinds.get(kind, ((0,) * len(fields), 0))
            if not flags & SAME_NUMBERS:
                require(fields, "numbers of a kind that has none")
                deltas = []
                for _ in fields:
                    delta, at = difference(rows, at, end)
                    deltas.append(delta)
            content = bytearray([kind]) + put_varint(time)
            for field, delta in zip(fields, deltas):
                if field == STEP:
                    value = step = step + delta & U64
                elif field == ATTEMPT:
                    value = attempt = attempt + delta & U64
                else:
                    value = position - delta & U64
                content += put_varint(value)
            if not flags & SAME_LENGTH:
                length, at = varint(rows, at, end)
            kinds[kind] = deltas, length
            put(3, content + take(length))
        position, sequence = position + 1 & U64, sequence + 1 & U64
    require(clock == clock_end, "times are left over")
    return bytes(payload)


# ---- Records (§6) ------------------------------------------------------------------------------------

def varint(data, at, end):
    """(value, offset behind it); the shortest form only."""
    value = shift = 0
    while True:
        require(at < end and shift < 70, "varint is cut off or too long")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            require(value <= U64 and (byte or shift == 7), "varint is too large or not the shortest")
            return value, at


def records(data, runs, sequence, archive=False):
    """The records of a unit: ("run", number, id) and ("event", sequence, id, epoch, position, bytes).

    Adds what is declared to `runs`. In an archive the contexts name the sequences.
    """
    view, at, context = memoryview(data), 0, None
    while at < len(data):
        tag = data[at]
        length, at = varint(data, at + 1, len(data))
        end = at + length
        require(end <= len(data), "record is longer than its unit")
        require(tag != 0, "record tag 0")
        if tag == 1:
            number, at = varint(data, at, end)
            require(1 <= end - at <= RUN_ID_LIMIT, "length of a run's id")
            try:
                name = str(view[at:end], "utf-8")
            except UnicodeDecodeError:
                raise Refused("corrupt", "run id is not UTF-8")
            require(all(c >= " " and c != "\x7f" for c in name), "control character in a run's id")
            runs[number] = name
            yield "run", number, name
        elif tag == 2:
            number, at = varint(data, at, end)
            epoch, at = varint(data, at, end)
            position, at = varint(data, at, end)
            if archive:
                sequence, at = varint(data, at, end)
            context = number, epoch
        elif tag == 3:
            require(context is not None, "event without a context")
            number, epoch = context
            require(number in runs, "event of an undeclared run")
            yield "event", sequence, runs[number], epoch, position, view[at:end]
            sequence += 1
            position += 1
        at = end


def emit_unit(segment, blocks, data, runs, archive=False):
    """Check the whole unit, then print it; a unit that does not hold leaves `runs` as it was."""
    first, count = blocks[-1].first, blocks[-1].events
    found = sum(1 for r in records(data, ChainMap({}, runs), first, archive) if r[0] == "event")
    require(found == count, f"{count} events announced, {found} found")
    for block in blocks:
        emit_block(segment, block)
    for kind, *rest in records(data, runs, first, archive):
        if kind == "run":
            emit(type="run", segment=segment, number=rest[0], run=rest[1])
        else:
            sequence, run, epoch, position, content = rest
            emit(type="event", sequence=sequence, run=run, epoch=epoch, position=position,
                 bytes=len(content), xxh3_128=xxh128(content))


def emit_block(segment, block):
    emit(type="block", segment=segment, offset=block.offset, kind=KINDS[block.kind],
         codec=("raw", "lz4", "packed")[block.codec], flags=block.flags, stored=block.stored, raw=block.raw,
         first_sequence=block.first, events=block.events, durable_up_to=block.durable,
         hash=f"{block.hash:016x}")


# ---- Manifest (§7) -----------------------------------------------------------------------------------

def manifest_copy(file, offset, limit, generation):
    """The manifest in the copy at offset, or None where that copy is not valid."""
    try:
        return parse_manifest(*read_block(file, offset, generation, limit), generation)
    except Torn:
        return None
    except Refused as refused:             # a newer version is not passed over
        if refused.code == "unsupported":
            raise
        return None


def parse_manifest(block, payload, generation):
    require(block.kind == MANIFEST and block.codec == block.flags == block.first == block.events
            == block.durable == 0 and len(payload) >= 80, "manifest's block")
    (major, minor, incompatible, number, store, _, epoch, next_segment, previous, _, count) = \
        ManifestHead.unpack(payload[:80])
    require(major == 0 and incompatible == 0, "manifest of another version", "unsupported")
    require(number == generation >= 1 and previous == block.previous, "manifest contradicts its block")
    require(generation > 1 or previous == 0, "the first manifest has a previous hash")
    require(1 <= count <= SEGMENTS_LIMIT and len(payload) >= 80 + 80 * count, "manifest's segment count")
    end = 80 + 80 * count
    entries = [Entry(*fields) for fields in ManifestEntry.iter_unpack(payload[80:end])]
    require(max(generation, epoch, next_segment, *(e.end for e in entries)) < NUMBERS_END, "a number of 2^62 or more")
    ids, sequence = set(), 1
    for entry in entries:
        require(entry.role in (LIVE, ARCHIVE), "role of a segment", "unsupported")
        require(entry.state in STATES, "state of a segment")
        require((STATES[entry.state] == "active") == (entry is entries[-1]), "active segment is not the last")
        if entry.role == ARCHIVE:
            require(all(other.role == ARCHIVE for other in entries[:len(ids)]), "an archive behind a live segment")
            require(STATES[entry.state] == "sealed", "state of an archive")
            require(entry.events <= entry.end - entry.first, "event count of an archive")
        require(entry.id < next_segment and entry.id not in ids, "segment id")
        require(sequence == entry.first <= entry.end, "segments' sequences do not join")
        require(128 <= entry.valid_end <= FILE_LIMIT and entry.valid_end % 8 == 0, "segment's valid end")
        sequence = entry.end
        ids.add(entry.id)
    superseded = parse_superseded(payload, end, generation, next_segment, ids) if minor >= 2 else []
    return Manifest(block.hash, generation, store, epoch, next_segment, entries, superseded)


def parse_superseded(payload, at, generation, next_segment, ids):
    """The files behind the segments that the log no longer needs; `ids` are those of the segments."""
    require(len(payload) >= at + 8, "manifest ends before the superseded count")
    count = int.from_bytes(payload[at:at + 8], "little")
    end = at + 8 + SupersededEntry.size * count
    require(count <= SUPERSEDED_LIMIT and len(payload) >= end, "manifest's superseded count")
    files = [Superseded(*fields) for fields in SupersededEntry.iter_unpack(payload[at + 8:end])]
    for file in files:
        require(file.role in (LIVE, ARCHIVE), "role of a superseded file", "unsupported")
        require(file.id < next_segment and file.id not in ids, "id of a superseded file")
        require(1 <= file.generation <= generation, "generation of a superseded file")
        ids.add(file.id)
    return files


def newest_manifest(directory):
    """(manifest of the highest generation with a valid copy, has it one copy only)."""
    try:
        names = [n for n in list_folder(directory) if re.fullmatch("MANIFEST-[0-9a-f]{16}", n)]
    except OSError as error:
        raise Refused("not-a-log", f"{directory}: {error.strerror}")
    require(names, "no manifest in the directory", "not-a-log")
    for name in sorted(names, reverse=True):
        generation = int(name[9:], 16)
        with File(os.path.join(directory, name)) as file:
            half = file.size // 2
            copies = [manifest_copy(file, offset, offset + half, generation) for offset in (0, half)]
            valid = [copy for copy in copies if copy and file.size % (2 * PAGE) == 0 and file.size <= MANIFEST_LIMIT]
        if valid and valid[0].hash == valid[-1].hash:
            return valid[0], len(valid) < 2
    raise Refused("corrupt", "no manifest has a valid copy")


def unlisted_units(directory, manifest):
    """Does a segment that the manifest does not list have anything in its first page?"""
    folder = os.path.join(directory, "seg")
    listed = {file.id for file in manifest.segments + manifest.superseded}
    try:
        names = list_folder(folder)
    except OSError as error:
        raise Refused("corrupt", f"{folder}: {error.strerror}")
    for name in names:
        if re.fullmatch("[0-9a-f]{16}\\.llg", name) and int(name[:16], 16) not in listed:
            with File(os.path.join(folder, name)) as file:
                if any(file.read(128, PAGE)):
                    return True
    return False


def read_manifest(directory):
    """The manifest that holds; prints its line."""
    for attempt in range(2):               # a writer may be at work: a second look
        manifest, damaged = newest_manifest(directory)
        if not unlisted_units(directory, manifest):
            break
    else:
        raise Refused("corrupt", "a manifest is lost: it listed a segment that holds units")
    high, low = manifest.store[:7:-1].hex(), manifest.store[7::-1].hex()
    emit(type="manifest", generation=manifest.generation, store=high + low, writer_epoch=manifest.writer_epoch,
         next_segment=manifest.next_segment, segments=len(manifest.segments), damaged_copy=damaged)
    return manifest


# ---- MARK (§8) ---------------------------------------------------------------------------------------

def boot_id():
    """The boot of this machine as §8 stores it, or None."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            raw = bytes.fromhex(file.read().strip().replace("-", ""))
    except (OSError, ValueError):
        return None
    return raw[:7:-1] + raw[7::-1]


def mark_words(directory):
    """((segment, offset) published, the same durable) of a MARK that counts, or None."""
    try:
        with File(os.path.join(directory, "MARK")) as file:
            data = file.read(0, PAGE)
            identity = file.identity
    except Refused:
        return None
    if len(data) < PAGE or xxh64(data[:56]) != int.from_bytes(data[56:64], "little"):
        return None
    magic, boot, device, inode = struct.unpack("<8s16sQQ", data[:40])
    if (magic, boot, (device, inode)) != (b"LOOMMARK", boot_id(), identity):
        return None
    return [(word >> 32, word & 0xFFFFFFFF) for word in (int.from_bytes(data[at:at + 8], "little") for at in (128, 192))]


# ---- Segments (§4, §5, §11) --------------------------------------------------------------------------

def read_segment_header(file, manifest, entry, before):
    """Check the header against the manifest and the segment before; returns its hash."""
    data = file.read(0, 128)
    require(len(data) == 128 and file.size <= FILE_LIMIT, "length of the file")
    (magic, major, _, incompatible, _, role, alignment, _, store, number, _, epoch, first, salt,
     *predecessor, _, dictionary, header_hash) = SegmentHeader.unpack(data)
    require(magic == b"\x89LOOM\r\n\x1a", "magic")
    require(major == 0, "major version", "unsupported")
    require(header_hash == xxh64(data[:120]), "header hash")
    require((incompatible, alignment, dictionary) == (0, 3, 0), "header field", "unsupported")
    require(role in (LIVE, ARCHIVE), "role", "unsupported")
    require(role == entry.role, "header contradicts the manifest")
    require((store, number, first, salt) == (manifest.store, entry.id, entry.first, entry.salt),
            "header contradicts the manifest")
    expected = [before.id, before.valid_end, before.last_hash] if before else [0, 0, 0]
    archived = before is not None and before.role == ARCHIVE   # it has taken the place of what the header names
    require(archived or predecessor == expected, "header contradicts the segment before")
    emit(type="segment", segment=entry.id, state=STATES[entry.state], first_sequence=first,
         writer_epoch=epoch, predecessor=predecessor[0], predecessor_length=predecessor[1],
         salt=f"{salt:016x}")
    return header_hash


def check_place(block, previous, sequence, unit, sealed):
    """Checks 6 and 7: the block follows the one before and fits its place."""
    require(block.previous == previous, "previous hash")
    require(block.first == sequence, "first sequence")
    require(block.durable <= block.offset, "durable up to")
    require(block.kind <= SEAL and not sealed, "a block that cannot stand here")
    if block.kind == EVENTS:
        require((block.events == 0) == bool(block.flags & CONTINUES), "event count")
        require(not unit or (unit[0].flags ^ block.flags) & (BARRIER | FIRST_UNIT) == 0, "flags within a unit")
        return
    require(not unit, "a unit is cut off")
    require(block.codec == block.events == block.flags & (CONTINUES | BARRIER) == 0, "codec, count or flags")
    if block.kind != FILLER:
        require(block.offset % PAGE == 0, "not at the start of a page")
        require(block.raw == (24 if block.kind == SEAL else 0), "payload length")


def read_segment(file, manifest, entry, before, mark):
    """Print a segment. Returns (units, sequence of the next event)."""
    previous = read_segment_header(file, manifest, entry, before)
    active = STATES[entry.state] == "active"
    limit = file.size if active else min(file.size, entry.valid_end)
    offset = end = 128                     # where the next block starts; the valid end
    sequence, units, runs, durable = entry.first, 0, {}, 0
    unit, data, last, torn, met = [], bytearray(), None, None, False
    while True:
        if offset == entry.valid_end:      # here the manifest knows the chain
            require(not unit and (previous, sequence) == (entry.last_hash, entry.end),
                    f"at {offset}: last hash or sequence is not the manifest's")
            met = True
            if not active:
                break
        elif offset > entry.valid_end and not met:
            raise Refused("corrupt", f"no block ends at the manifest's valid end {entry.valid_end}")
        try:
            block, stored = read_block(file, offset, block_seed(entry.salt, offset), limit)
        except Torn as reason:
            torn = reason
            break
        try:                               # a whole block that does not follow: rule C
            check_place(block, previous, sequence, unit, last is not None and last.kind == SEAL)
            payload = decode(block, stored)
            if block.kind == SEAL:
                counts = struct.unpack("<QQQ", payload)
                require(counts == (sequence - entry.first, units, len(runs)), "counts of the seal")
            if block.kind == EVENTS:
                unit.append(block)
                data += payload
                require(len(data) <= UNIT_LIMIT, "unit is too large")
                if not block.flags & CONTINUES:
                    emit_unit(entry.id, unit, data, runs)
                    sequence, units, unit, data = sequence + block.events, units + 1, [], bytearray()
            else:
                emit_block(entry.id, block)
        except Refused as refused:
            raise Refused(refused.code, f"block at {offset}: {refused}")
        previous, offset, durable, last = block.hash, block.end, max(durable, block.durable), block
        if not unit:
            end = offset
    if active:
        check_active_end(file, entry, offset, end, durable, last)
        check_mark(mark, entry, end)
    else:
        require(torn is None, f"at {offset}, before the valid end {entry.valid_end}: {torn}")
        require(STATES[entry.state] != "sealed" or last is not None and last.kind == SEAL, "sealed without a seal")
    emit(type="end", segment=entry.id, offset=end, reason=STATES[entry.state])
    return units, sequence


def read_archive(file, manifest, entry):
    """Print an archive (§18.1), in the order of the file; its tables are another program's (archives.py).

    Returns how many units it has.
    """
    import archives                        # that one builds on this one
    require(file.size == entry.valid_end, "length of an archive")
    data = file.read(0, file.size)
    first, salt, previous = archives.read_header(data)
    require((data[24:40], int.from_bytes(data[40:48], "little"), first, salt)
            == (manifest.store, entry.id, entry.first, entry.salt), "header contradicts the manifest")
    emit(type="archive", segment=entry.id, tier=entry.tier, first_sequence=first, end_sequence=entry.end,
         events=entry.events, writer_epoch=int.from_bytes(data[56:64], "little"), salt=f"{salt:016x}")
    units, unit, pieces, sequences = 0, [], bytearray(), set()
    for block, stored in archives.read_blocks(data, salt, previous):
        payload = decode(block, stored)
        if block.kind != EVENTS:
            emit_block(entry.id, block)
            continue
        unit.append(block)
        pieces += payload
        require(len(pieces) <= UNIT_LIMIT + 32768, "unit is too large")
        if block.flags & CONTINUES:
            continue
        found = [record[1] for record in records(pieces, {}, 0, archive=True) if record[0] == "event"]
        require(len(found) == block.events and min(found) == block.first, "a unit of other events than it says")
        require(all(entry.first <= s < entry.end and s not in sequences for s in found) and len(set(found)) == len(found),
                "an event twice, or not covered")
        sequences.update(found)
        emit_unit(entry.id, unit, pieces, {}, archive=True)
        units, unit, pieces = units + 1, [], bytearray()
    require(block.hash == entry.last_hash and len(payload) == 64, "not the seal that the manifest names")
    counts = [int.from_bytes(payload[at:at + 8], "little") for at in range(0, 40, 8)]
    require((counts[0], counts[3], counts[4]) == (entry.events, entry.first, entry.end), "counts of the seal")
    require(len(sequences) == entry.events, "events of the archive")
    emit(type="end", segment=entry.id, offset=file.size, reason="archive")
    return units


def check_active_end(file, entry, stop, end, durable, last):
    """Rules B and D of §11 (A and C were met while reading), but for MARK."""
    require(entry.valid_end <= end, f"ends at {end}, before the manifest's valid end {entry.valid_end}")
    copied = entry.ending == 3             # a backup: its blocks tell of the original
    require(copied or durable <= end, f"ends at {end}, though {durable} bytes were durable")
    sealed = end == stop and last is not None and last.kind == SEAL
    for base, chunk in file.chunks(end, 64):
        require(not sealed or not any(chunk), f"something stands behind the seal that ends at {end}")
        at = chunk.find(b"BLK1")
        while 0 <= at < CHUNK:
            if at % 8 == 0:
                offset = base + at
                try:
                    block = parse_header(chunk[at:at + 64], offset, block_seed(entry.salt, offset))
                    require(copied or block.durable <= end, f"ends at {end}; a block at {offset} saw {block.durable} durable")
                except Torn:
                    pass
            at = chunk.find(b"BLK1", at + 1)


def check_mark(mark, entry, end):
    """What a MARK that counts adds to rule B."""
    for segment, offset in mark or ():
        require(segment <= entry.id & 0xFFFFFFFF, f"MARK names segment {segment}, which no manifest lists")
        require(segment < entry.id & 0xFFFFFFFF or offset <= end, f"ends at {end}, though MARK proves {offset} bytes")


def read_log(directory):
    mark = mark_words(directory)           # before the rest: a writer may go on meanwhile
    manifest = read_manifest(directory)
    require(not os.path.islink(os.path.join(directory, "seg")), "seg is a symbolic link, not a folder")
    before, events, units = None, 0, 0
    for entry in manifest.segments:
        name = f"{entry.id:016x}" + (".llg" if entry.role == LIVE else ".lla")
        try:
            with File(os.path.join(directory, "seg", name)) as file:
                if entry.role == ARCHIVE:
                    count, sequence = read_archive(file, manifest, entry), entry.end
                else:
                    count, sequence = read_segment(file, manifest, entry, before, mark)
        except Refused as refused:
            raise Refused(refused.code, f"segment {entry.id}: {refused}")
        events += entry.events if entry.role == ARCHIVE else sequence - entry.first
        units, before = units + count, entry
    emit(type="summary", events=events, units=units, next_sequence=sequence)


def main(arguments):
    if len(arguments) != 2:
        sys.stderr.write(__doc__)
        return 64
    status = 0
    try:
        try:
            read_log(arguments[1])
        except Refused as refused:
            emit(type="error", code=refused.code, message=str(refused))
            status = 66 if refused.code == "not-a-log" else 65
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os._exit(74)                       # nobody reads any more
    return status


if __name__ == "__main__":
    import read                            # not twice: archives.py raises what is caught here
    sys.exit(read.main(sys.argv))
