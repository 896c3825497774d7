"""A step program that speaks the protocol without help, and does one thing in a way of its own: steps.py KIND [NUMBER]"""
import json
import os
import signal
import subprocess
import sys
import time

KIND = sys.argv[1]
NUMBER = int(sys.argv[2]) if len(sys.argv) > 2 else 0
INPUT = os.fdopen(0, "rb", closefd=False)


def say(message):
    sys.stdout.buffer.write(json.dumps(message).encode() + b"\n")


def hear():
    sys.stdout.buffer.flush()
    line = INPUT.readline()
    if not line:
        sys.exit(0)
    return json.loads(line)


def outcome(turn, kind, **members):
    say(dict(members, type="outcome", turn=turn, kind=kind))


def count(turn, state):
    """NUMBER steps; the result has the processes that made them."""
    time.sleep(0.005)
    state["pids"].append(os.getpid())
    if len(state["pids"]) < NUMBER:
        return outcome(turn, "continue", state=state)
    outcome(turn, "complete", result={"run": state["run"], "pids": sorted(set(state["pids"]))})


def call(turn, state):
    """NUMBER calls at once; nothing is read before all of them are said."""
    for number in range(NUMBER):
        say({"type": "tool", "turn": turn, "id": number, "name": "call", "request": number})
    recorded = 0
    while recorded < NUMBER:
        message = hear()
        if message["type"] == "tool_run":
            say({"type": "tool_done", "turn": turn, "id": message["id"], "result": message["id"]})
        if message["type"] == "tool_recorded":
            recorded += 1
    outcome(turn, "complete", result=recorded)


def descriptors():
    return sorted(os.readlink("/proc/self/fd/" + name) for name in os.listdir("/proc/self/fd")
                  if os.path.exists("/proc/self/fd/" + name))


def step(message):
    if message["type"] == "migrate":
        time.sleep(60)
    turn, state = message["turn"], message["state"]
    if not isinstance(state, dict):
        state = {"pids": []}
    state["run"] = message["run_id"]
    if KIND == "count":
        count(turn, state)
    elif KIND == "slow":
        # One step of NUMBER milliseconds.
        time.sleep(NUMBER / 1000)
        outcome(turn, "complete", result="slow")
    elif KIND == "calls":
        call(turn, state)
    elif KIND == "closes-input":
        # The answer of the second step finds nobody.
        if state["pids"]:
            os.close(0)
            say({"type": "tool", "turn": turn, "id": 1, "name": "call", "request": 0})
            sys.stdout.buffer.flush()
            time.sleep(60)
        state["pids"].append(1)
        outcome(turn, "continue", state=state)
    elif KIND == "descriptors":
        outcome(turn, "complete", result=descriptors())
    elif KIND == "ignores-end":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        outcome(turn, "complete", result="done")
        sys.stdout.buffer.flush()
        time.sleep(60)
    elif KIND == "hangs":
        time.sleep(60)
    elif KIND == "leaves-group":
        # A child in a group of its own keeps standard output and error, and writes on.
        subprocess.Popen(["sh", "-c", "while sleep 0.01; do echo; echo y >&2; done"], start_new_session=True)
        os._exit(3)
    elif KIND == "line-after-call":
        say({"type": "tool", "turn": turn, "id": 1, "name": "pay", "request": 1, "safety": "once"})
        hear()
        say({"type": "tool_done", "turn": turn, "id": 1, "result": "paid"})
        # In the same piece as the line before it.
        sys.stdout.buffer.write(b"x" * 3000 + b"\n")
        sys.stdout.buffer.flush()
        time.sleep(60)
    elif KIND == "closes-output":
        os.close(1)
        time.sleep(60)
    elif KIND == "noise":
        sys.stderr.write("noise")
        sys.stderr.flush()
        time.sleep(60)
    elif KIND == "grandchild":
        # It keeps standard output, in the process group.
        child = subprocess.Popen(["sleep", "60"])
        outcome(turn, "complete", result=child.pid)


if KIND == "mute":
    time.sleep(60)
say({"type": "hello", "protocol": 1, "name": "steps", "state": {"pids": []}, "migrates": True})
if hear()["type"] != "hello":
    sys.exit("no hello")
while True:
    step(hear())
