"""PPO on CartPole here and in other libraries: the same network, batches and numbers of updates, one after another.

`python -m tests.benchmarks.bench_peers [--repeats 3] [--steps 100000]`. Steps per second are those of a whole run,
training included, without imports (Sample Factory: of the last four fifths, as its processes begin one by one).
Returns are means of the last hundred episodes while training. Sample Factory and EnvPool need an environment of their
own: `--install` makes it in `.venv_peers` (some gigabytes); without it their rows are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from tests.benchmarks.table import Row, markdown

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / ".venv_peers"
PACKAGES = ("sample-factory==2.1.1", "envpool==1.2.5")

OURS = {
    "pamiq_exp, lockstep": [],
    "pamiq_exp, lockstep, traced": ["launcher.inference=traced"],
    "pamiq_exp, pipelined": ["launcher=pipelined", "launcher.overlap_turns=32"],
}
THEIRS = {
    "stable-baselines3": "sb3_ppo",
    "one file over EnvPool": "envpool_ppo",
    "Sample Factory": "sample_factory_ppo",
}

Result = dict[str, float]


def run_ours(words: list[str], seed: int, steps: int) -> Result:
    """Run the experiment as it is shipped."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        command = [
            sys.executable, "-m", "pamiq_exp", "experiment=cartpole_ppo", f"seed={seed}", "tracking=jsonl_only",
            "--no-dry-run", *words, f"launcher.max_steps={steps}", f"hydra.run.dir={run}",
        ]  # fmt: skip
        _run(command)
        summary = json.loads((run / "summary.json").read_text())
    return {"steps_per_second": summary["steps_per_second"], "return": summary["return_mean"]}


def run_theirs(name: str, seed: int, steps: int) -> Result:
    """Run the script of a peer, in the environment where it is installed."""
    python = sys.executable if name == "stable-baselines3" else str(PEERS / "bin" / "python")
    script = ROOT / "tests" / "benchmarks" / "peers" / f"{THEIRS[name]}.py"
    result: Result = json.loads(_run([python, str(script), str(seed), str(steps)]).splitlines()[-1])
    return result


def _run(command: list[str]) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    return done.stdout


def rows(repeats: int, steps: int) -> list[Row]:
    """All rows of this benchmark; each repeat is one seed for all."""
    peers = [name for name in THEIRS if name == "stable-baselines3" or PEERS.exists()]
    found: dict[str, list[Result]] = {name: [] for name in [*OURS, *peers]}
    for seed in range(repeats):
        for name, results in found.items():
            words = OURS.get(name)
            results.append(run_theirs(name, seed, steps) if words is None else run_ours(words, seed, steps))
            print(name, seed, results[-1], file=sys.stderr, flush=True)
    speed = {name: statistics.median(each["steps_per_second"] for each in results) for name, results in found.items()}
    best = max(OURS, key=lambda name: speed[name])
    table = [Row(f"steps per second, {best} / stable-baselines3", speed[best] / speed["stable-baselines3"], ">= 1.5")]
    for name, results in found.items():
        returns = ", ".join(f"{each['return']:.0f}" for each in results)
        lowest = min(each["return"] for each in results)
        detail = f"{speed[name]:,.0f} steps per second (median); returns {returns}"
        table.append(Row(f"lowest return, {name}", lowest, ">= 475", detail=detail))
    return table


def install() -> None:
    """Make the environment of Sample Factory and EnvPool."""
    venv.create(PEERS, with_pip=True)
    subprocess.run([str(PEERS / "bin" / "pip"), "install", *PACKAGES], check=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--install", action="store_true", help="install the peers into .venv_peers first")
    arguments = parser.parse_args()
    if arguments.install:
        install()
    print(markdown(rows(arguments.repeats, arguments.steps)))


if __name__ == "__main__":
    main()
