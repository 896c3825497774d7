"""A counter to 6 that does something wrong in its step 2; the first word says what."""
import os
import signal
import subprocess
import sys
import time

import loomlog_step

KIND = sys.argv[1]
MARK = sys.argv[2] if len(sys.argv) > 2 else None


def say(text):
    # The protocol's own channel, which print cannot reach.
    os.write(OUTPUT, text.encode())


def is_first_time():
    if os.path.exists(MARK):
        return False
    open(MARK, "w").close()
    return True


def misbehave(state, ctx):
    turn = ctx._channel.turn
    if KIND == "nan":
        state["mean"] = float("nan")
    elif KIND == "surrogate":
        state["half"] = "\ud800"
    elif KIND == "eats-input":
        subprocess.run(["cat"], stdout=subprocess.DEVNULL)
    elif KIND == "garbage":
        say("this is no message\n")
        time.sleep(60)
    elif KIND == "half":
        say('{"type":"outco')
        os._exit(0)
    elif KIND == "long":
        state["text"] = "x" * 5000
    elif KIND == "outcome-twice":
        say('{"type":"outcome","turn":%d,"kind":"continue","state":{"current":2}}\n' % turn)
    elif KIND == "tool-after-outcome":
        say('{"type":"outcome","turn":%d,"kind":"continue","state":{"current":2}}\n' % turn)
        say('{"type":"tool","turn":%d,"id":1,"name":"late","request":0}\n' % turn)
        time.sleep(60)
    elif KIND == "same-call":
        say('{"type":"tool","turn":%d,"id":1,"name":"a","request":0}\n' % turn)
        say('{"type":"tool","turn":%d,"id":1,"name":"b","request":0}\n' % turn)
        time.sleep(60)
    elif KIND == "variable":
        state["bytes"] = list(os.environb[b"LOOMLOG_TEST"])
    elif KIND == "logs-controls":
        ctx.log("\x1b[2J\nerror: forged", "warning")
    elif KIND == "dies":
        os._exit(7)
    elif KIND == "dies-once" and is_first_time():
        os.kill(os.getpid(), signal.SIGKILL)
    elif KIND == "leaves-child" and is_first_time():
        # It keeps our standard output open, in a session that no kill of ours reaches.
        child = subprocess.Popen(["sleep", "60"], stdout=OUTPUT, start_new_session=True)
        with open(MARK, "w") as file:
            file.write(str(child.pid))
        os._exit(7)
    elif KIND == "waits" and is_first_time():
        while not os.path.exists(sys.argv[3]):
            time.sleep(0.01)
    elif KIND == "hangs":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(60)
    elif KIND == "interrupts" and is_first_time():
        os.kill(os.getppid(), getattr(signal, sys.argv[3]))
        time.sleep(0.3)
    elif KIND == "interrupts-and-hangs" and is_first_time():
        os.kill(os.getppid(), getattr(signal, sys.argv[3]))
        time.sleep(60)
    elif KIND == "interrupts-twice" and is_first_time():
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(0.3)
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(60)


def step(state, ctx):
    if KIND == "floods":
        for _ in range(1000):
            sys.stderr.write("noise " * 200 + "\n")
    if KIND == "takes-its-time":
        time.sleep(0.4)
    if state["current"] == 2:
        misbehave(state, ctx)
    if state["current"] >= 6:
        return ctx.complete({"current": state["current"]})
    return dict(state, current=state["current"] + 1)


if KIND == "mute":
    time.sleep(60)
if KIND == "version":
    sys.stdin.readline()
    os.write(1, b'{"type":"hello","protocol":99,"name":"counter"}\n')
    time.sleep(60)
OUTPUT = os.dup(1)
loomlog_step.serve(step, name="misbehave", state={"current": 0})
