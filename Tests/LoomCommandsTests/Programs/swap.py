"""Puts another log in place of its own while it runs. Use: swap.py LOG OTHER"""
import os
import shutil
import sys

import loomlog_step

LOG, OTHER = sys.argv[1:]


def step(state, ctx):
    if state["current"] == 1:
        os.rename(LOG, LOG + ".moved")
        shutil.copytree(OTHER, LOG)
    if state["current"] == 3:
        return ctx.complete({"told": "by the log that was moved"})
    return {"current": state["current"] + 1}


loomlog_step.serve(step, name="swap", state={"current": 0})
