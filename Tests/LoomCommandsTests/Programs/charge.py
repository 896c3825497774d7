"""Charges once, and dies in the middle of the charge the first time: charge.py MARK"""
import os
import sys

import loomlog_step

MARK = sys.argv[1]


def charge(request):
    with open(MARK, "w") as file:
        file.write("charged")
    os._exit(9)


def look(request):
    return (os.path.exists(MARK), "receipt for %d" % request["cents"])


def step(state, ctx):
    ctx.label("customer", "ada")
    receipt = ctx.call("charge", {"cents": state["cents"]}, charge, safety="once", reconcile=look)
    return ctx.complete(receipt)


loomlog_step.serve(step, name="charge", state={"cents": 500})
