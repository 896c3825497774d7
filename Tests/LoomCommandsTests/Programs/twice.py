"""Charges two people, and breaks off in the second charge the first time: twice.py MARK"""
import os
import sys

import loomlog_step

MARK = sys.argv[1]


def charge(request):
    with open(MARK, "a") as file:
        file.write("charged %s\n" % request["who"])
    if request["who"] == "bob":
        os._exit(9)
    return "receipt for %s" % request["who"]


def step(state, ctx):
    receipts = [ctx.call("charge", {"who": who}, charge, safety="once") for who in ("ada", "bob")]
    return ctx.complete(", ".join(receipts))


loomlog_step.serve(step, name="twice", state={})
