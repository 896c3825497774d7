"""Counts to 10. loomlog run --run-id demo --max-steps 5 -- python3 Tools/python/counter.py"""
import loomlog_step


def step(state, ctx):
    if state["current"] >= state["target"]:
        return ctx.complete({"current": state["current"], "steps": ctx.step_index})
    return {"current": state["current"] + 1, "target": state["target"]}


loomlog_step.serve(step, name="counter", state={"current": 0, "target": 10})
