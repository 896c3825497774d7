"""Charges once, and does something wrong while the charge is open: once.py MARK KIND

A charge is a line in MARK. KIND is "long", "garbage" or "outcome" (it breaks the protocol), "hangs" or "dies".
"""
import os
import sys
import time

import loomlog_step

MARK, KIND = sys.argv[1:]


def say(text):
    # The protocol's own channel, which print cannot reach.
    os.write(OUTPUT, text.encode())


def charge(request):
    with open(MARK, "a") as file:
        file.write("charged\n")
    if KIND == "long":
        return "x" * 5000
    if KIND == "garbage":
        say("this is no message\n")
    elif KIND == "outcome":
        say('{"kind":"complete","result":7,"turn":%d,"type":"outcome"}\n' % TURN)
    elif KIND == "dies":
        os._exit(9)
    time.sleep(60)


def step(state, ctx):
    global TURN
    TURN = ctx._channel.turn
    return ctx.complete(ctx.call("charge", {"cents": 500}, charge, safety="once"))


OUTPUT = os.dup(1)
loomlog_step.serve(step, name="once", state={})
