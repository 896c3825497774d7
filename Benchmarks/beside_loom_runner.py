"""The counter loop on loomlog and on loom-runner 0.1.3, in turns on one machine: the table of README.md.

    venv/bin/python beside_loom_runner.py RUNNER_BENCHMARK FOLDER [STEPS] [ROUNDS]

The python that runs this must have loom-runner (see loom_runner_counter.py), RUNNER_BENCHMARK is the built program.
"""
import statistics
import subprocess
import sys
from pathlib import Path

benchmark, folder = sys.argv[1:3]
steps, rounds = (sys.argv[3:] + ["100000", "3"][len(sys.argv) - 3:])[:2]
here = Path(__file__).parent
rates = {}


def take(command):
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for line in said.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) > 2 and cells[1].replace(",", "").isdigit():
            rates.setdefault(cells[0], []).append(int(cells[1].replace(",", "")))


for number in range(int(rounds)):
    print(f"round {number + 1} of {rounds}", file=sys.stderr)
    take([benchmark, f"{folder}/log", steps])
    take([sys.executable, str(here / "loom_runner_counter.py"), f"{folder}/loom-runner", steps])

print(f"| counter loop of {steps} steps | steps a second, median | lowest to highest | ratio to loom-runner, same policy |")
print("|---|---|---|---|")
theirs = {name.split(", ")[1]: rate for name, rate in rates.items() if name.startswith("loom-runner")}
for name, rate in sorted(rates.items(), key=lambda item: (not item[0].startswith("loom"), item[0].startswith("byte"))):
    ratio = "" if name.startswith("loom") else \
        f"{statistics.median(rate) / statistics.median(theirs[name.split(', ')[1]]):.0f}x"
    print(f"| {name} | {statistics.median(rate):,.0f} | {min(rate):,} to {max(rate):,} | {ratio} |")
