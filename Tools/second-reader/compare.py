#!/usr/bin/env python3
"""Compares a dump command with read.py, the second reader, on stores and on damaged copies of them.

    compare.py [--damage N] [--seed N] DUMP_COMMAND... -- STORES_FOLDER

`DUMP_COMMAND... --log STORE` runs for each STORES_FOLDER/*.loom, and for N (40) damaged copies of each. On a store the
lines and the exit status must be equal. On a copy success must be, and then the lines, else the code of the error.
READER_PYTHON names the interpreter for read.py (one with lz4 and xxhash; else this one). Exit: 0 all agree; 1 not; 64 usage.
"""
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

READER = [os.environ.get("READER_PYTHON", sys.executable),
          os.path.join(os.path.dirname(os.path.abspath(__file__)), "read.py")]


def run(command):
    """(exit status, lines of stdout)"""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return done.returncode, done.stdout.split(b"\n")


def refusal(lines):
    """The code of the error line, or None."""
    for line in reversed(lines):
        try:
            found = json.loads(line)
            if found["type"] == "error":
                return found["code"]
        except (ValueError, KeyError, TypeError):
            pass
    return None


def difference(dump, store, damaged):
    """What the two disagree in, or None."""
    (status1, lines1), (status2, lines2) = run(dump + ["--log", store]), run(READER + [store])
    code1, code2 = refusal(lines1), refusal(lines2)
    if status1 < 0 or status1 > 128:
        return f"dump was killed: {status1}"
    if bool(status1) != bool(status2) or not damaged and status1 != status2:
        return f"dump exits with {status1} ({code1}), read.py with {status2} ({code2})"
    if damaged and status1:
        return None if code1 == code2 else f"dump says {code1}, read.py {code2}"
    for number, (line1, line2) in enumerate(zip(lines1 + [b"(end)"], lines2 + [b"(end)"]), 1):
        if line1 != line2:
            return f"line {number}: dump {line1[:200]!r}, read.py {line2[:200]!r}"
    return None


def damage(store, random):
    """Damage one file of the store at a random place; says how."""
    files = sorted(os.path.join(folder, name) for folder, _, names in os.walk(store)
                   for name in names if name not in ("LOCK", "MARK"))
    path = random.choice(files)
    with open(path, "r+b") as file:
        data = file.read()
        # As a rule within what is used: most of a file are the zeros behind it.
        used = len(data.rstrip(b"\0")) if random.random() < 0.8 else len(data)
        place, name = random.randrange(max(1, used)), os.path.relpath(path, store)
        what = random.choice(("flip", "flip", "zero", "cut"))
        if what == "cut":
            file.truncate(place)
            return f"{name} cut at {place}"
        if what == "zero":
            place -= place % 512
            file.seek(place)
            file.write(bytes(min(512, len(data) - place)))
            return f"{name} sector at {place} zeroed"
        bit = random.randrange(8)
        if data:
            file.seek(place)
            file.write(bytes([data[place] ^ 1 << bit]))
        return f"{name} bit {bit} at {place} flipped"


def option(arguments, name, default):
    if name not in arguments:
        return default
    at = arguments.index(name)
    value = int(arguments[at + 1])
    del arguments[at:at + 2]
    return value


def main(arguments):
    try:
        split = arguments.index("--", 1)
        dump, (folder,) = arguments[1:split], arguments[split + 1:]
        copies, first = option(dump, "--damage", 40), option(dump, "--seed", 0)
        names = sorted(n for n in os.listdir(folder) if n.endswith(".loom"))
        assert dump
    except (ValueError, IndexError, OSError, AssertionError):
        sys.stderr.write(__doc__)
        return 64
    failures = 0
    with tempfile.TemporaryDirectory() as work:
        for name in names:
            store, copy = os.path.join(folder, name), os.path.join(work, name)
            found = difference(dump, store, False)
            if found:
                failures += 1
                print(f"{name}: {found}", flush=True)
            for seed in range(first, first + copies):
                shutil.copytree(store, copy)
                how = damage(copy, random.Random(f"{name} {seed}"))
                found = difference(dump, copy, True)
                if found:
                    failures += 1
                    print(f"{name}, seed {seed}, {how}: {found}", flush=True)
                shutil.rmtree(copy)
    result = "all agree" if not failures else f"{failures} disagreements"
    print(f"{len(names)} stores, {copies * len(names)} damaged copies: {result}")
    return 1 if failures or not names else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
