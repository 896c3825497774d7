#!/usr/bin/env python3
"""A second reader of archive files (.lla), written from FORMAT.md alone, and its test.

    archives.py FOLDER

Reads FOLDER/sample.lla, checks all that FORMAT.md says of an archive, and compares the rows and
events with the lines of FOLDER/sample.txt, which the tests left. Then it damages the file, one bit
of each byte, and requires that every copy is refused. Then it does the same behind the hashes: it
repairs them after the flip, or it flips a bit of a table as decoded. Such a copy is refused, too,
or is read to the same lines. Exit: 0 all agree; 1 not; 64 usage.
Needs the packages lz4 and xxhash. "§" in a comment names a section of FORMAT.md.
"""

import os
import sys
from collections import Counter, namedtuple
from functools import lru_cache
from itertools import chain, groupby

import read
from read import (
    ARCHIVE,
    CONTINUES,
    DIRECTORY,
    EVENTS,
    LZ4,
    NUMBERS_END,
    PACKED,
    RAW,
    Refused,
    SEAL,
    TABLE,
    Torn,
    U64,
    UNIT_LIMIT,
    block_seed,
    require,
    varint,
    xxh64,
)

RUNS, BLOCKS, KEYS, FILTER, TEXTS = SECTIONS = range(1, 6)  # §18.3
LEAF_LIMIT, ROW_LIMIT, TABLE_LIMIT, FILTER_BLOCK = 4096, 65536, 65544, 64  # §14
DELETED, BLANKING_DUE, UNKNOWN_KINDS, BEGUN_ANEW, CONTINUED = 1, 2, 4, 8, 128
SUMMARY_VERSION = 1
PACKED_STEP, TABLE_STEP = 31, 3  # how many bytes of a slow damage pass are damaged: one of these
(
    CREATED,
    STARTED,
    FAILED_ATTEMPT,
    TOOL_STARTED,
    TOOL_FINISHED,
    REUSED,
    COMMITTED,
    COMPLETED,
    SNAPSHOT,
    PAUSED,
    RESUMED,
    FAILED,
    CANCELLED,
    RETRIED,
    LABELLED,
    POLICY,
    MIGRATED,
    THREW,
) = range(
    1, 19
)  # §12.1
EXPLICIT, NUMBER, SHARED = 1, 2, 3  # kinds of keys
RUNNING, IS_PAUSED, IS_COMPLETED, HAS_FAILED, IS_CANCELLED = range(1, 6)  # §12.5

Event = namedtuple("Event", "run epoch position sequence body")
Leaf = namedtuple("Leaf", "block hot cold")
Row = namedtuple(
    "Row",
    "name status category loop created updated labels flags first_position counts end_position "
    "first_block blocks_more summary",
)


class Bytes:
    """What read.File does, for bytes in memory."""

    def __init__(self, data):
        self.data, self.size = data, len(data)

    def read(self, offset, length):
        return self.data[offset : offset + length]


class Cursor:
    """Takes one value after the other from bytes."""

    def __init__(self, data, at=0):
        self.data, self.at, self.end = data, at, len(data)

    @property
    def left(self):
        return self.end - self.at

    def number(self):
        value, self.at = varint(self.data, self.at, self.end)
        return value

    def difference(self, base):
        value, self.at = read.difference(self.data, self.at, self.end)
        return base + value & U64

    def take(self, length):
        require(length <= self.left, "bytes are missing")
        self.at += length
        return bytes(self.data[self.at - length : self.at])

    def byte(self):
        return self.take(1)[0]

    def bytes(self):
        return self.take(self.number())

    def text(self):
        return utf8(self.bytes())


def utf8(data):
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Refused("corrupt", "a text is not UTF-8")


# ---- The file (§18.1) ---------------------------------------------------------------------------


def read_header(data):
    """Check the header (§4); returns (first sequence, salt, header hash)."""
    require(128 <= len(data) <= read.FILE_LIMIT, "length of the file")
    (
        magic,
        major,
        _,
        incompatible,
        _,
        role,
        alignment,
        _,
        _,
        number,
        _,
        epoch,
        first,
        salt,
        *predecessor,
        _,
        dictionary,
        header_hash,
    ) = read.SegmentHeader.unpack(data[:128])
    require(magic == b"\x89LOOM\r\n\x1a", "magic")
    require(major == 0, "major version", "unsupported")
    require(header_hash == xxh64(data[:120]), "header hash")
    require((incompatible, alignment, dictionary) == (0, 3, 0), "header field", "unsupported")
    require(role in (read.LIVE, ARCHIVE), "role", "unsupported")
    require(role == ARCHIVE, "a live segment, not an archive")
    require(predecessor == [0, 0, 0], "an archive names a predecessor")
    require(
        number >= 1 and first >= 1 and max(number, epoch, first) < NUMBERS_END,
        "a number of the header",
    )
    return first, salt, header_hash


def read_blocks(data, salt, previous):
    """All blocks, with stored payloads: hashes, chain, and the rules that need no payload."""
    file, offset, blocks = Bytes(data), 128, []
    phase, unit = EVENTS, None
    while not blocks or blocks[-1][0].kind != SEAL:
        codecs = (RAW, LZ4, PACKED)
        try:
            block, stored = read.read_block(
                file, offset, block_seed(salt, offset), len(data), codecs
            )
        except Torn as torn:
            raise Refused("corrupt", f"block at {offset}: {torn}")
        require(block.previous == previous, f"block at {offset}: previous hash")
        order = (EVENTS, TABLE, DIRECTORY, SEAL)
        require(
            block.kind in order and order.index(block.kind) >= order.index(phase),
            f"block at {offset}: its kind cannot stand here",
        )
        # One directory, and a seal right behind it.
        require(
            not blocks or blocks[-1][0].kind != DIRECTORY or block.kind == SEAL,
            "a block behind the directory",
        )
        require(
            block.kind != SEAL or blocks and blocks[-1][0].kind == DIRECTORY,
            "a seal without a directory",
        )
        require(block.durable == 0, f"block at {offset}: durable up to")
        if block.kind == EVENTS:
            require(block.flags & ~CONTINUES == 0, f"block at {offset}: flags")
            require(
                (block.events == 0) == bool(block.flags & CONTINUES),
                f"block at {offset}: event count",
            )
            require(
                block.codec != PACKED or not unit and not block.flags,
                "codec 2 in a unit of several blocks",
            )
            require(
                not unit or block.first == unit, f"block at {offset}: first sequence within a unit"
            )
            unit = block.first if block.flags else None
        else:
            require(not unit, "a unit is cut off")
            require(block.flags == block.events == 0, f"block at {offset}: flags or event count")
            require(
                block.codec == RAW or block.codec == LZ4 and block.kind != SEAL,
                f"block at {offset}: codec",
            )
        blocks.append((block, stored))
        phase, offset, previous = block.kind, block.end, block.hash
    require(offset == len(data), "bytes behind the seal")
    return blocks


@lru_cache(maxsize=64)
def decode(block, stored):
    return read.decode(block, stored)


# ---- Events (§6, §12.1) ------------------------------------------------------------------------


@lru_cache(maxsize=64)
def unit_events(data):
    """The events of a unit; it declares their runs in the order of names, from 0 on."""
    runs, names, events = {}, [], []
    for kind, *rest in read.records(data, runs, 0, archive=True):
        if kind == "event":
            sequence, run, epoch, position, body = rest
            events.append(Event(run.encode(), epoch, position, sequence, bytes(body)))
        else:
            require(rest[0] == len(names), "run numbers are not dense")
            names.append(rest[1].encode())
    require(
        all(a < b for a, b in zip(names, names[1:])), "declarations are not in the order of names"
    )
    require(
        {e.run for e in events} == set(names), "a run is declared that has no events in the block"
    )
    return events


def read_events(blocks, first, end):
    """[(its events, Block)] of all event blocks; all but the last of a unit have none."""
    result, pieces = [], []
    for block, stored in blocks:
        pieces.append(decode(block, stored))
        require(sum(map(len, pieces)) <= UNIT_LIMIT, "size of a unit")
        if block.flags & CONTINUES:
            result.append(([], block))
            continue
        events = unit_events(b"".join(pieces))
        require(
            len(events) == block.events, f"{block.events} events announced, {len(events)} found"
        )
        require(
            min(e.sequence for e in events) == block.first,
            "first sequence is not the least of the block",
        )
        result.append((events, block))
        pieces = []
    events = [e for found, _ in result for e in found]
    require(all(a[:3] < b[:3] for a, b in zip(events, events[1:])), "events are not in order")
    sequences = {e.sequence for e in events}
    require(len(sequences) == len(events), "two events of one sequence")
    require(all(first <= s < end for s in sequences), "an event outside of what the archive covers")
    return result


# ---- Parts of events (§12.1) --------------------------------------------------------------------


def policy(cursor):
    kind = cursor.byte()
    require(1 <= kind <= 3, "kind of a policy")
    interval = cursor.number() if kind == 2 else None
    require(interval != 0, "interval of a policy")
    return kind, interval


def labels(cursor):
    return [(cursor.text(), cursor.text()) for _ in range(cursor.number())]


def failure(cursor):
    message, category, retryable = cursor.text(), cursor.byte(), cursor.byte()
    require(1 <= category <= 5 and retryable <= 1, "category or flag of a failure")
    return message, category, retryable


def reason(cursor):
    kind = cursor.byte()
    require(1 <= kind <= 5, "kind of a reason")
    if kind == 2:
        return kind, cursor.text()
    if kind == 4:
        return kind, cursor.number(), failure(cursor) if cursor.left else None
    return (kind,)


def key(cursor):
    kind = cursor.byte()
    require(1 <= kind <= 3, "kind of a key")
    return kind, cursor.number() if kind == 2 else cursor.text()


class Fold:
    """What is known of a run, and its counts, from its events (§12.5, §18.3)."""

    def __init__(self):
        self.status = self.epoch = self.step = self.next = self.time = self.begin = self.ended = 0
        self.open, self.attempt, self.failures, self.interruptions, self.holder = None, 0, 0, 0, ""
        self.reason = self.failure = None
        self.attempts = self.later = self.failed = self.interrupted = self.calls = self.category = 0
        self.steps = self.unordinary = 0
        self.loop, self.version, self.codec, self.limit = "", 0, "", 0
        self.created, self.labels, self.policies = None, {}, []
        self.length = self.whole = self.held = self.result = 0
        self.open_calls, self.keys, self.ends = {}, {}, {}
        self.whole_here = None  # as §18.3 counts it: the last whole state in the archive
        self.whole_deltas = []  # later events 7 whose delta copies nothing
        self.is_blanked = False  # states were left out
        self.unknown = False

    @property
    def counts(self):
        return self.steps, self.attempts, self.unordinary, self.calls

    def end_attempt(self, ordinary):
        if self.open is not None and not ordinary and self.open == 0:
            self.unordinary += 1
        self.open = None

    def interrupt(self):
        if self.open is not None:
            self.interrupted += 1
            self.interruptions += 1
            self.end_attempt(False)

    def has_whole(self, position, state):
        self.whole_deltas = []
        self.whole = self.whole_here = position
        self.length = self.held = len(state)

    def take_delta(self, position, data):
        """§12.2: of no bytes where the state was not kept; whole where it copies nothing."""
        if not data:
            self.is_blanked = True
            return
        delta = Cursor(data)
        base, length = delta.number(), delta.number()
        copied = produced = 0
        while produced < length:
            delta.number()
            copies, inserts = delta.number(), delta.number()
            require(copies + inserts > 0, "a hunk of nothing")
            delta.take(inserts)
            copied += copies
            produced += copies + inserts
        require(produced == length and not delta.left, "length of a delta's result")
        if copied:
            known = self.whole_here is not None or self.whole_deltas
            require(base == self.length or not known, "base length of a delta")
        else:
            self.whole_deltas.append(position)
        self.length = length
        self.held = max(self.held + len(data), length)

    def begin_step(self, position):
        self.step, self.begin = self.step + 1, position + 1
        self.attempt = self.failures = self.interruptions = 0
        self.open_calls = {
            start: call for start, call in self.open_calls.items() if call[1][0] != NUMBER
        }

    def add(self, event):
        """Take the next event of the run."""
        cursor, position = Cursor(event.body), event.position
        kind = cursor.byte()
        require(kind != 0, "event of kind 0")
        self.time = cursor.number()
        if self.created is None:
            self.created = self.time
        self.next, self.epoch = position + 1, event.epoch
        if kind > THREW:
            self.unknown = True
            return
        ids = (cursor.number(), cursor.number()) if kind in (2, 3, 4, 6, 7, 8) else None
        if kind == CREATED:
            self.loop, self.version, self.codec = cursor.text(), cursor.number(), cursor.text()
            self.policies = [[0, policy(cursor), 0]]
            self.labels = {name: value for name, value in labels(cursor) if value}
            self.has_whole(position, cursor.bytes())
            self.limit = cursor.number() if cursor.left else 0
            self.status = RUNNING
        elif kind == STARTED:
            self.interrupt()
            self.open, self.attempt, self.attempts = ids[1], ids[1] + 1, self.attempts + 1
            if ids[1]:
                self.later += 1
                self.unordinary += 1
            self.status = RUNNING
        elif kind == FAILED_ATTEMPT:
            self.category = failure(cursor)[1]
            self.failed, self.failures = self.failed + 1, self.failures + 1
            decision = cursor.byte()
            require(decision in (1, 2), "decision")
            if decision == 1:
                cursor.number()
            self.open = ids[1]  # its start may stand in an earlier archive
            self.end_attempt(False)
        elif kind == TOOL_STARTED:
            self.calls += 1
            name = cursor.text()
            require(1 <= cursor.byte() <= 3, "safety of a tool")
            self.keys[position] = key(cursor)
            call = name, self.keys[position], cursor.bytes()
            # A call that is made again is open under its new start only.
            self.open_calls = {
                start: other for start, other in self.open_calls.items() if other != call
            }
            self.open_calls[position] = call
        elif kind == TOOL_FINISHED:
            start = cursor.number()
            outcome = cursor.byte()
            require(1 <= outcome <= 3, "kind of an outcome")
            cursor.bytes() if outcome == 1 else failure(cursor) if outcome == 2 else None
            self.open_calls.pop(start, None)
            self.ends[start] = position
        elif kind == REUSED:
            cursor.number()
        elif kind == COMMITTED:
            self.take_delta(position, cursor.bytes())
            self.complete_attempt(ids)
            self.begin_step(position)
            self.steps += 1
        elif kind == COMPLETED:
            self.result = len(cursor.bytes())
            self.complete_attempt(ids)
            self.status, self.ended = IS_COMPLETED, position + 1
        elif kind == SNAPSHOT:
            cursor.number()
            state = cursor.bytes()
            if state:  # §12.2: one of no bytes was not kept
                self.has_whole(position, state)
        elif kind == PAUSED:
            self.reason, self.status = reason(cursor), IS_PAUSED
        elif kind == RESUMED:
            self.holder, self.status, self.reason = cursor.text(), RUNNING, None
        elif kind == FAILED:
            self.failure, self.status, self.ended = failure(cursor), HAS_FAILED, position + 1
        elif kind == CANCELLED:
            cursor.text()
            self.status, self.ended = IS_CANCELLED, position + 1
        elif kind == RETRIED:
            self.status, self.failure, self.ended = RUNNING, None, 0
        elif kind == LABELLED:
            for name, value in labels(cursor):
                self.labels[name] = value
                if not value:
                    del self.labels[name]
        elif kind == POLICY:
            at = self.step + (self.status == IS_COMPLETED)
            self.policies.append([at, policy(cursor), 0])
        elif kind == MIGRATED:
            self.version = cursor.number()
            self.has_whole(position, cursor.bytes())
        elif kind == THREW:
            cursor.number()
            failure(cursor)

    def complete_attempt(self, ids):
        if ids[1] == 0 and self.policies:
            self.policies[-1][2] += 1
        self.end_attempt(True)


# ---- Summaries (§12.5) --------------------------------------------------------------------------


def positions(cursor):
    """Positions in order: a count, the first, the differences."""
    found = []
    for _ in range(cursor.number()):
        found.append(cursor.number() + (found[-1] if found else 0))
    return found


@lru_cache(maxsize=256)
def parse_summary(data):
    """The known fields of a summary as a dictionary."""
    cursor = Cursor(data)
    require(cursor.byte() == SUMMARY_VERSION, "version of a summary is not the directory's")
    parts = [Cursor(cursor.bytes()) for _ in range(7)]
    identity, progress, counts, policies, state, calls, remarks = parts
    while cursor.left:
        cursor.bytes()
    found = dict(
        loop=identity.text(),
        version=identity.number(),
        codec=identity.text(),
        limit=identity.number(),
        created=identity.number(),
        labels=labels(identity),
    )
    names = [name.encode() for name, _ in found["labels"]]
    require(all(a < b for a, b in zip(names, names[1:])), "labels of a summary are not in order")
    found["labels"] = dict(found["labels"])
    found["status"] = progress.byte()
    require(RUNNING <= found["status"] <= IS_CANCELLED, "status of a summary")
    for field in "step epoch next time begin ended open attempt failures interruptions".split():
        found[field] = progress.number()
    found["open"] = found["open"] - 1 if found["open"] else None
    found["holder"] = progress.text()
    for field, parse in (("reason", lambda c: reason(Cursor(c.bytes()))), ("failure", failure)):
        flag = progress.byte()
        require(flag <= 1, f"flag of the {field}")
        found[field] = parse(progress) if flag else None
    for field in "attempts later failed interrupted calls".split():
        found[field] = counts.number()
    found["category"] = counts.byte()
    require(found["category"] <= 5, "category of a summary")
    found["policies"] = [
        [policies.number(), policy(policies), policies.number()] for _ in range(policies.number())
    ]
    for field in "length whole held result".split():
        found[field] = state.number()
    found["open_calls"] = positions(calls)
    found["passed_over"] = [
        (remarks.number(), remarks.number(), remarks.text()) for _ in range(remarks.number())
    ]
    found["corrections"] = positions(remarks)
    return found


def check_summary(row, fold):
    """The summary against the row, and against the events where all of the run are here."""
    found = parse_summary(row.summary)
    for field in ("status", "category", "loop", "created"):
        require(
            found[field] == getattr(row, field), f"{field} of the row is not that of the summary"
        )
    require(found["time"] == row.updated, "the row's time is not that of the summary")
    require(found["labels"] == row.labels, "labels of the row are not those of the summary")
    if row.flags & CONTINUED or fold.unknown or found["passed_over"]:
        return
    for field, value in found.items():
        if field not in ("passed_over", "corrections"):
            mine = getattr(fold, field)
            mine = sorted(mine) if field == "open_calls" else mine
            # An upper bound where states were left out, §18.1.
            is_bound = field == "held" and fold.is_blanked
            same = value >= mine if is_bound else value == mine
            require(same, f"{field} of the summary is {value}, of the events {mine}")


# ---- What the tables must say --------------------------------------------------------------------


class Run:
    """A run's events in the archive, and where they stand."""

    def __init__(self, name):
        self.name, self.events, self.blocks, self.fold = name, [], [], None


class Contents:
    """What the blocks of events hold, and with it what the tables say."""

    def __init__(self, blocks):
        self.runs, self.ends = {}, []  # of each block: (its last run, its fields)
        times = []
        for number, (events, block) in enumerate(blocks):
            for name, found in groupby(events, lambda e: e.run):
                run = self.runs.setdefault(name, Run(name))
                run.blocks.append(number)
                run.fold = run.fold or Fold()
                for event in found:
                    run.events.append(event)
                    run.fold.add(event)
                    times.append(run.fold.time)
            # §18.3 does not tell what rows say of all but the last block of a unit.
            fold = run.fold if events else None
            since = ()
            if fold and fold.whole_here is not None:
                since = [fold.next - place for place in [fold.whole_here, *fold.whole_deltas]]
            self.ends.append(
                (block, run.name, fold.next, fold.counts, since)
                if fold
                else (block, None, 0, (), ())
            )
        self.times = (min(times), max(times)) if times else (0, 0)
        self.events = len(times)


@lru_cache(maxsize=4)
def contents(blocks, first, end):
    return Contents(read_events(blocks, first, end))


# ---- Tables (§18.3) -----------------------------------------------------------------------------


def read_leaves(blocks):
    """The leaves of each section, in the order of the file."""
    sections = {}
    last = RUNS
    for block, payload in blocks:
        require(block.raw <= TABLE_LIMIT, "length of a table block")
        cursor = Cursor(payload)
        section, hot = cursor.byte(), cursor.bytes()
        cold = cursor.take(cursor.left)
        require(section in SECTIONS, "section of a leaf")
        require(section >= last, "sections are not in order")
        require(section == RUNS or not cold, "a cold part where there is none")
        require(section != FILTER or block.codec == RAW, "codec of the filter")
        last = section
        sections.setdefault(section, []).append(Leaf(block, hot, cold))
    return sections


@lru_cache(maxsize=64)
def leaf_rows(hot, cold, parse):
    """The rows of a leaf: parse(hot, cold, row before, or None). Checks their sizes."""
    rows, total, hot, cold = [], 0, Cursor(hot), Cursor(cold)
    while hot.left or cold.left:
        at = hot.at + cold.at
        rows.append(parse(hot, cold, rows[-1] if rows else None))
        size = hot.at + cold.at - at
        if parse is parse_text:  # its length does not count
            size = len(rows[-1])
        require(size <= ROW_LIMIT, "size of a row")
        total += size
    require(rows, "a leaf without rows")
    require(len(rows) == 1 or total <= LEAF_LIMIT, "size of a leaf")
    return rows


def parse_text(hot, cold, before):
    return hot.bytes()


@lru_cache(maxsize=4)
def parse_run(texts):
    """The parser of a row of section 1."""

    def text(number):
        require(number < len(texts), "number of a text")
        return utf8(texts[number])

    def parse(hot, cold, before):
        shared, own = hot.number(), hot.bytes()
        name = before.name if before else b""
        require(shared <= len(name) and own, "name of a run")
        require(shared == len(name) or name[shared] != own[0], "shared length of a name")
        name = name[:shared] + own
        require(len(name) <= read.RUN_ID_LIMIT, "length of a name")
        require(all(c >= " " and c != "\x7f" for c in utf8(name)), "control character in a name")
        codes = hot.byte()
        require(codes & 15 <= 5 and codes >> 4 <= 5, "status or category")
        loop = text(hot.number())
        created = hot.difference(before.created if before else 0)
        updated = hot.difference(created)
        pairs = [(text(hot.number()), text(hot.number())) for _ in range(hot.number())]
        require(len(dict(pairs)) == len(pairs), "a label twice")
        flags = cold.byte()
        require(
            flags & ~(DELETED | BLANKING_DUE | UNKNOWN_KINDS | BEGUN_ANEW | CONTINUED) == 0,
            "flags of a run",
            "unsupported",
        )
        five = [cold.number() for _ in range(5)] if flags & CONTINUED else [0] * 5
        end = cold.number()
        first_block = cold.difference(before.first_block if before else 0)
        return Row(
            name,
            codes & 15,
            codes >> 4,
            loop,
            created,
            updated,
            dict(pairs),
            flags,
            five[0],
            tuple(five[1:]),
            end,
            first_block,
            cold.number(),
            cold.bytes(),
        )

    return parse


def parse_block(hot, cold, before):
    """A row of section 2: (length, another run, events, end position, counts, since)."""
    length, events = hot.number(), hot.number()
    another = bool(length & 1)
    base = before[3:5] if before and not another else (0, (0, 0, 0, 0))
    end = base[0] + hot.number() & U64
    counts = tuple(b + hot.number() & U64 for b in base[1])
    return length >> 1 << 3, another, events, end, counts, hot.number()


def parse_key(hot, cold, before):
    """A row of section 3: (run row, fingerprint, start, length)."""
    run = hot.number()
    fingerprint = int.from_bytes(hot.take(4), "little")
    same = before and run == 0
    run = run + before[0] if before else run
    return run, fingerprint, hot.difference(before[2] if same else 0), hot.number()


def check_runs(rows, known):
    names = [row.name for row in rows]
    require(all(a < b for a, b in zip(names, names[1:])), "runs are not in order")
    require(known.runs.keys() <= set(names), "a run has no row")
    for row in rows:
        run = known.runs.get(row.name)
        if run is None:
            require(row.flags & DELETED, "a row of a run without events")
            continue
        require(not row.flags & DELETED, "a deleted run has events")
        require(row.end_position == run.fold.next, "end position of a run")
        blocks = row.first_block, row.first_block + row.blocks_more
        require(blocks == (run.blocks[0], run.blocks[-1]), "blocks of a run")
        require(
            not row.flags & CONTINUED or row.first_position == run.events[0].position,
            "first position",
        )
        require(
            row.flags & CONTINUED or run.events[0].position == 0, "a run that goes on has no flag"
        )
        require(
            not run.fold.unknown or row.flags & UNKNOWN_KINDS, "a run has unknown kinds but no flag"
        )
        check_summary(row, run.fold)


def check_blocks(rows, known, runs):
    """Section 2 against the blocks. Counts of a continued run begin with those of its row."""
    require(len(rows) == len(known.ends), "rows of section 2")
    row_of = {row.name: row for row in runs}
    last = None
    for (length, another, events, end, counts, since), (block, run, *mine) in zip(rows, known.ends):
        require(
            (length, events) == (block.end - block.offset, block.events),
            "length or events of a block",
        )
        if run is None:
            continue
        require(another == (run != last), "a block's last run")
        counted = [a + b for a, b in zip(row_of[run].counts, mine[1])]
        if row_of[run].flags & CONTINUED:
            # An attempt that was open before the archive may be interrupted in it, unseen.
            counted[2] = counts[2]
        require(end == mine[0], f"a block's end is {end}, of the events {mine[0]}")
        require(list(counts) == counted, f"a block's counts are {counts}, of the events {counted}")
        require(not mine[2] or since in mine[2], "a block's distance to a whole state")
        last = run


def check_keys(rows, known, runs):
    """Section 3: all calls with a key for them, of runs that go on."""
    require(all(a[:3] < b[:3] for a, b in zip(rows, rows[1:])), "keys are not in order")
    wanted = []
    for number, row in enumerate(runs):
        run = known.runs.get(row.name)
        if run is None or row.status in (IS_COMPLETED, IS_CANCELLED):
            continue
        for start, (kind, text) in run.fold.keys.items():
            if kind != 2:
                fingerprint = xxh64(bytes([kind]) + text.encode()) & 0xFFFFFFFF
                length = run.fold.ends[start] - start if start in run.fold.ends else 0
                wanted.append((number, fingerprint, start, length))
    require(rows == sorted(wanted), "keys are not those of the events")


def check_filter(leaves, names):
    """Section 4 has every name; returns the blocks of each leaf."""
    for leaf in leaves:
        require(
            len(leaf.hot) in range(FILTER_BLOCK, 65 * FILTER_BLOCK, FILTER_BLOCK),
            "size of a leaf of the filter",
        )
    require(
        all(len(leaf.hot) == 64 * FILTER_BLOCK for leaf in leaves[:-1]),
        "a leaf of the filter is not full",
    )
    bits = b"".join(leaf.hot for leaf in leaves)
    count = len(bits) // FILTER_BLOCK
    require(count == max(1, -(-len(names) * 10 // 512)), "size of the filter")
    wanted = bytearray(len(bits))
    for name in names:
        found = xxh64(name)
        mixed, block = found * 0x9E3779B97F4A7C15 & U64, found * count >> 64
        for shift in range(0, 54, 9):
            bit = mixed >> shift & 511
            wanted[block * FILTER_BLOCK + bit // 8] |= 1 << bit % 8
    require(bits == wanted, "the filter is not that of the names")
    return [[None] * (len(leaf.hot) // FILTER_BLOCK) for leaf in leaves]


def check_directory(payload, leaves, rows, known):
    """Section 18.5 against the leaves: rows[section] has a list of rows for each leaf."""
    cursor = Cursor(payload)
    require(int.from_bytes(cursor.take(4), "little") == SUMMARY_VERSION, "summary version")
    listed = []
    for _ in range(cursor.number()):
        section = cursor.byte()
        require(not listed or listed[-1] < section, "sections of the directory are not in order")
        listed.append(section)
        entry = Cursor(cursor.bytes())
        if section not in SECTIONS:
            continue
        require(section in leaves, "a section without leaves")
        offset, first_row, first_block = entry.number() * 8, 0, 0
        require(entry.number() == len(leaves[section]), "number of leaves")
        before = separator_before = None
        for leaf, found in zip(leaves[section], rows[section]):
            require(offset == leaf.block.offset, "offset of a leaf")
            offset += entry.number() * 8
            require(offset == leaf.block.end, "length of a leaf")
            require(entry.number() == len(found), "rows of a leaf")
            if section in (RUNS, KEYS):
                separator = entry.bytes()
                own, last = sort_key(section, found[0]), before and sort_key(section, before)
                require(separator <= own if before else separator == b"", "separator of a leaf")
                require(section == RUNS or not before or len(separator) == 8, "separator of keys")
                require(
                    not before or last < separator or section == KEYS and last == separator == own,
                    "separator",
                )
                require(
                    section == KEYS or separator_before is None or separator_before < separator,
                    "separators do not rise",
                )
                before, separator_before = found[-1], separator
            elif section == BLOCKS:
                first_block += entry.number()
                require(first_block * 8 == known.ends[first_row][0].offset, "first block of a leaf")
            first_row += len(found)
        require(not entry.left, "bytes behind the leaves of a section")
    require(not cursor.left, "bytes behind the directory")
    require([s for s in listed if s in SECTIONS] == sorted(leaves), "sections of the directory")


def sort_key(section, row):
    return row.name if section == RUNS else row[0].to_bytes(4, "big") + row[1].to_bytes(4, "big")


# ---- A whole archive -----------------------------------------------------------------------------


def read_archive(data, payload=decode):
    """The lines of the archive, after every check; else Refused. `payload` decodes tables."""
    first, salt, previous = read_header(data)
    blocks = read_blocks(data, salt, previous)
    seal = [int.from_bytes(blocks[-1][1][at : at + 8], "little") for at in range(0, 64, 8)]
    require(len(blocks[-1][1]) == 64, "length of the seal")  # §18.6
    end = seal[4]
    require(
        seal[3] == first <= end < NUMBERS_END and seal[0] <= end - first, "sequences of the seal"
    )
    require(
        all(block.first == end for block, _ in blocks if block.kind != EVENTS),
        "first sequence of a table",
    )
    require(seal[7] == blocks[-2][0].offset, "the seal's directory")
    event_blocks = tuple(pair for pair in blocks if pair[0].kind == EVENTS)
    known = contents(event_blocks, first, end)
    require(seal[:2] == [known.events, len(event_blocks)], "events or blocks of the seal")
    require((seal[5], seal[6]) == known.times, "times of the seal")

    leaves = read_leaves(
        [(block, payload(block, stored)) for block, stored in blocks if block.kind == TABLE]
    )
    rows = {TEXTS: [leaf_rows(leaf.hot, leaf.cold, parse_text) for leaf in leaves.get(TEXTS, ())]}
    texts = tuple(chain(*rows[TEXTS]))
    for text in texts:
        utf8(text)
    for section, parse in ((RUNS, parse_run(texts)), (BLOCKS, parse_block), (KEYS, parse_key)):
        rows[section] = [leaf_rows(leaf.hot, leaf.cold, parse) for leaf in leaves.get(section, ())]
    runs, block_rows, keys = (list(chain(*rows[section])) for section in (RUNS, BLOCKS, KEYS))
    require(seal[2] == len(runs), "runs of the seal")
    check_runs(runs, known)
    check_blocks(block_rows, known, runs)
    check_keys(keys, known, runs)
    require(FILTER in leaves or not runs, "an archive without a filter")
    rows[FILTER] = (
        check_filter(leaves[FILTER], [row.name for row in runs]) if FILTER in leaves else []
    )
    check_directory(payload(*blocks[-2]), leaves, rows, known)
    return list(lines(runs, known))


def lines(runs, known):
    for number, row in enumerate(runs):
        fields = (
            "row",
            row.name.hex(),
            number,
            row.status,
            row.category,
            row.loop,
            row.created,
            row.updated,
            row.first_position,
            row.end_position,
            row.first_block,
            row.blocks_more,
            row.flags,
            row.summary.hex(),
        )
        yield "\t".join(map(str, fields))
        run = known.runs.get(row.name)
        for event in run.events if run else ():
            yield "\t".join(map(str, ("event", event.run.hex(), *event[1:4], event.body.hex())))


# ---- The sample, and damage ----------------------------------------------------------------------


def differences(mine, theirs):
    found = 0
    for number, (a, b) in enumerate(zip(mine + ["(end)"], theirs + ["(end)"]), 1):
        if a != b:
            found += 1
            if found <= 5:
                print(f"line {number}: sample {b[:300]}\n  archives.py {a[:300]}")
    return found + (len(mine) != len(theirs))


def flipped(data, offset, bit):
    copy = bytearray(data)
    copy[offset] ^= 1 << bit
    return bytes(copy)


def outcome(lines, *arguments):
    """ "corrupt", "unsupported", "same" or "other" of a damaged copy."""
    try:
        return "same" if same_lines(read_archive(*arguments), lines) else "other"
    except Refused as refused:
        return refused.code


def same_lines(some, others):
    """Are they equal, but for what nothing in the archive contradicts?

    That are some flags of a row, and the bytes that a summary says are held at most: they are told
    of the events before states were left out.
    """

    def key(line):
        fields = line.split("\t")
        if fields[0] == "row":
            fields[12] = str(int(fields[12]) & ~(BLANKING_DUE | UNKNOWN_KINDS | BEGUN_ANEW))
            summary = parse_summary(bytes.fromhex(fields[13]))
            summary.pop("held", None)
            fields[13] = str(sorted(summary.items()))
        return fields

    return len(some) == len(others) and all(
        a == b or key(a) == key(b) for a, b in zip(some, others)
    )


def resealed(copy, blocks):
    """Makes all hashes of a copy anew, at the places where the undamaged file has its blocks."""
    previous = xxh64(bytes(copy[:120]))
    copy[120:128] = previous.to_bytes(8, "little")
    salt = int.from_bytes(copy[72:80], "little")
    for block, _ in blocks:
        at, seed = block.offset, block_seed(salt, block.offset)
        copy[at + 40 : at + 48] = previous.to_bytes(8, "little")
        copy[at + 48 : at + 56] = xxh64(bytes(copy[at + 64 : block.end]), seed).to_bytes(
            8, "little"
        )
        previous = xxh64(bytes(copy[at : at + 56]), seed)
        copy[at + 56 : at + 64] = previous.to_bytes(8, "little")
    return bytes(copy)


def hashes_repaired(data, lines):
    """(place, outcome) of each copy with a flipped bit and hashes that hold.

    Of packed rows, which take long to unpack, only each 31st byte is damaged.
    """
    _, salt, header_hash = read_header(data)
    blocks = read_blocks(data, salt, header_hash)
    for offset in range(len(data)):
        copy = resealed(bytearray(flipped(data, offset, offset % 8)), blocks)
        if copy == data:  # it was a hash that was damaged
            continue
        if offset % PACKED_STEP == 0 or not any(
            b.codec == PACKED and b.offset + 64 <= offset < b.end for b, _ in blocks
        ):
            yield f"bit {offset % 8} at {offset}, hashes repaired", outcome(lines, copy)


def tables_damaged(data, lines):
    """(place, outcome) of each copy with a flipped bit in a decoded table or directory."""
    _, salt, header_hash = read_header(data)
    for block, stored in read_blocks(data, salt, header_hash):
        if block.kind in (TABLE, DIRECTORY) and block.codec != RAW:
            whole = decode(block, stored)
            for at in range(0, len(whole), TABLE_STEP):
                damaged = flipped(whole, at, at % 8)
                found = outcome(lines, data, lambda b, s: damaged if b == block else decode(b, s))
                yield f"bit {at % 8} at {at} of the decoded block at {block.offset}", found


def bits_flipped(data, lines):
    """(place, outcome) of each copy with a flipped bit."""
    for offset in range(len(data)):
        yield f"bit {offset % 8} at {offset}", outcome(lines, flipped(data, offset, offset % 8))


def main(arguments):
    if len(arguments) != 2 or not os.path.isdir(arguments[1]):
        sys.stderr.write(__doc__)
        return 64
    with open(os.path.join(arguments[1], "sample.lla"), "rb") as file:
        data = file.read()
    with open(os.path.join(arguments[1], "sample.txt"), encoding="utf-8", newline="\n") as file:
        sample = file.read().split("\n")[:-1]
    try:
        mine = read_archive(data)
    except Refused as refused:
        print(f"archives.py refuses the sample: {refused.code}: {refused}")
        return 1
    failures = differences(mine, sample)
    print(
        f"second reader: an archive of {len(data)} bytes, {len(sample)} lines, "
        f"{failures} differences"
    )
    # Hashes cover every byte, so each flip is refused. Behind them some bytes mean nothing: "same".
    for what, copies, wrong in (
        ("a flipped bit", bits_flipped, ("same", "other")),
        ("a flipped bit and repaired hashes", hashes_repaired, ("other",)),
        ("a flipped bit in a decoded table", tables_damaged, ("other",)),
    ):
        found = Counter()
        for place, code in copies(data, mine):
            found[code] += 1
            if code in wrong:
                failures += 1
                if failures <= 20:
                    print(f"{place}: read as {code} lines, not refused")
        counts = ", ".join(f"{number} {code}" for code, number in sorted(found.items()))
        print(f"second reader: {sum(found.values())} archives with {what}: {counts}")
    return 1 if failures or not sample else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
