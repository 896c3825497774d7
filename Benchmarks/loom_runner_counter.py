"""The counter loop on loom-runner 0.1.3, without tracemalloc: steps a second, one policy a line.

    python3 -m venv venv && venv/bin/pip install loom-runner==0.1.3
    venv/bin/python loom_runner_counter.py FOLDER [STEPS]
"""
import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from loom_agent import AgentRunner, CheckpointPolicy, Complete, Continue, SQLiteCheckpointStore

FOLDER = Path(sys.argv[1])
STEPS = int(sys.argv[2]) if len(sys.argv) > 2 else 20_000


@dataclass(frozen=True)
class State:
    current: int
    target: int


async def step(state, context):
    if state.current == state.target:
        return Complete(state.current)
    return Continue(State(state.current + 1, state.target))


async def drive(policy):
    path = FOLDER / "counter.sqlite"
    for suffix in ("", "-wal", "-shm"):
        Path(str(path) + suffix).unlink(missing_ok=True)
    runner = AgentRunner(
        step=step, store=SQLiteCheckpointStore(str(path)),
        encode_state=lambda s: {"current": s.current, "target": s.target},
        decode_state=lambda d: State(**d), encode_result=lambda r: r, decode_result=lambda d: d,
        checkpoint_policy=policy)
    start = time.perf_counter()
    result = await runner.start(run_id="demo", initial_state=State(0, STEPS), max_steps=STEPS + 1)
    seconds = time.perf_counter() - start
    assert result.status == "completed" and result.result == STEPS, result
    runner.store.close()
    return STEPS / seconds


FOLDER.mkdir(parents=True, exist_ok=True)
for name, policy in (
        ("full", CheckpointPolicy()),
        ("interval(100)", CheckpointPolicy(mode="interval", every=100)),
        ("compact", CheckpointPolicy(mode="compact"))):
    rates = sorted(asyncio.run(drive(policy)) for _ in range(3))
    print(f"| loom-runner 0.1.3, {name} | {rates[1]:,.0f} | {rates[0]:,.0f} to {rates[2]:,.0f} |")
