"""Counts for ever; each step takes as many seconds as the first word says."""
import sys
import time

import loomlog_step


def step(state, ctx):
    time.sleep(float(sys.argv[1]))
    return {"current": state["current"] + 1}


loomlog_step.serve(step, name="slow", state={"current": 0})
