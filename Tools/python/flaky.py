"""A counter whose tool fails now and then, and whose third step needs three tries: see attempts and tool-calls.

loomlog run --run-id flaky -- python3 Tools/python/flaky.py
"""
import loomlog_step


def increment(value):
    return value + 1


def step(state, ctx):
    if state["current"] >= state["target"]:
        return ctx.complete({"current": state["current"], "steps": ctx.step_index})
    following = ctx.call("increment", state["current"], increment)
    if state["current"] == 2 and ctx.attempt_index < 2:
        # The call above has completed: the next try is answered from the log.
        raise loomlog_step.StepError("network wobble", "transient")
    return {"current": following, "target": state["target"]}


loomlog_step.serve(step, name="flaky", state={"current": 0, "target": 10})
