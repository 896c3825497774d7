#!/usr/bin/env python3
"""Holds read.py, the second reader, against the verdicts that the Swift readers left on a corpus of damaged logs.

    corpus.py FOLDER

FOLDER (.build/damage-corpus, left by DamageCorpusTests) holds one folder for each state of a log: files/ and older/
with its files, and cases.jsonl: a first line that says whether MARK counts, then a damage and a verdict a line. All
copies are made and read in memory, in this one process. Exit: 0 all agree; 1 not; 64 usage.
"""
import json
import os
import sys

import read

ROOT = "/corpus"


class MemoryFile(read.File):
    """A file of the copy that is looked at."""
    files, identity = {}, (0, 0)

    def __init__(self, path):
        if path not in self.files:
            raise read.Refused("corrupt", f"{path}: no such file")
        self.data = self.files[path]
        self.size = len(self.data)

    def __exit__(self, *_):
        pass

    def read(self, offset, length):
        return self.data[offset:offset + length]


def list_memory(folder):
    names = {path[len(folder) + 1:].split("/")[0] for path in MemoryFile.files if path.startswith(folder + "/")}
    if not names:
        raise FileNotFoundError(2, "No such file or directory")
    return sorted(names)


def load(folder):
    files = {}
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            with open(path, "rb") as file:
                files[os.path.relpath(path, folder)] = file.read()
    return files


def damage(files, older, case):
    """The files of the copy."""
    files, name = dict(files), case["file"]
    if "flip" in case:
        offset, bit = case["flip"]
        data = bytearray(files[name])
        data[offset] ^= 1 << bit
        files[name] = bytes(data)
    elif "cut" in case:
        files[name] = files[name][:case["cut"]]
    elif "missing" in case:
        del files[name]
    elif "doubled" in case:
        files[case["doubled"]] = files[name]
    else:
        files[name] = older[name]
    return files


def verdict(files):
    """(code, events) of a copy."""
    MemoryFile.files = {f"{ROOT}/{name}": data for name, data in files.items()}
    lines = []
    read.emit = lambda **line: lines.append(line)
    try:
        read.read_log(ROOT)
    except read.Refused as refused:
        return refused.code, 0
    return "ok", lines[-1]["events"]


def check(folder):
    """(cases, disagreements) of one state."""
    files, older = load(os.path.join(folder, "files")), load(os.path.join(folder, "older"))
    with open(os.path.join(folder, "cases.jsonl")) as lines:
        counts = json.loads(next(lines))["mark"]
        cases = [json.loads(line) for line in lines]
    if counts:                             # this machine is then the one that wrote MARK
        mark = files["MARK"]
        read.boot_id = lambda: mark[8:24]
        MemoryFile.identity = tuple(int.from_bytes(mark[at:at + 8], "little") for at in (24, 32))
    else:
        read.boot_id = lambda: None
    disagreements = 0
    for case in cases:
        code, events = verdict(damage(files, older, case))
        if code != case["code"] or code == "ok" and events != case["events"]:
            disagreements += 1
            if disagreements <= 20:
                print(f"{os.path.basename(folder)}: {json.dumps(case)}: read.py says {code}, {events} events")
    return len(cases), disagreements


def main(arguments):
    if len(arguments) != 2 or not os.path.isdir(arguments[1]):
        sys.stderr.write(__doc__)
        return 64
    read.File, read.list_folder = MemoryFile, list_memory
    total = failures = 0
    for name in sorted(os.listdir(arguments[1])):
        cases, disagreements = check(os.path.join(arguments[1], name))
        total, failures = total + cases, failures + disagreements
    print(f"second reader: {total} damaged copies, {failures} disagreements")
    return 1 if failures or not total else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
