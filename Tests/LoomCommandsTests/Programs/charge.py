"""Charges once, and dies in the middle of the charge the first time: charge.py MARK

With a second file's name, it cannot find out the first time that it is asked what became of the charge. With "slow" it
does not die but takes long, and can never find out.
"""
import os
import sys
import time

import loomlog_step

MARK = sys.argv[1]
IS_SLOW = sys.argv[2:] == ["slow"]


def charge(request):
    with open(MARK, "w") as file:
        file.write("charged")
    if IS_SLOW:
        time.sleep(60)
    os._exit(9)


def look(request):
    if len(sys.argv) > 2 and not os.path.exists(sys.argv[2]):
        open(sys.argv[2], "w").close()
        raise ConnectionError("the bank does not answer")
    return (os.path.exists(MARK), "receipt for %d" % request["cents"])


def step(state, ctx):
    ctx.label("customer", "ada")
    receipt = ctx.call("charge", {"cents": state["cents"]}, charge, safety="once", reconcile=None if IS_SLOW else look)
    return ctx.complete(receipt)


loomlog_step.serve(step, name="charge", state={"cents": 500})
