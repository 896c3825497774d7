"""A counter in two versions: versions.py 1|2"""
import sys

import loomlog_step


def step_one(state, ctx):
    return state + 1


def step_two(state, ctx):
    if state["count"] == 3:
        return ctx.complete(state["count"])
    return {"count": state["count"] + 1}


def migrate(state, version):
    if version != 1:
        raise loomlog_step.StepError("version %d was never deployed" % version, "validation")
    return {"count": state}


if sys.argv[1] == "1":
    loomlog_step.serve(step_one, name="versions", state=0)
else:
    loomlog_step.serve(step_two, name="versions", state={"count": 0}, state_version=2, migrate=migrate)
