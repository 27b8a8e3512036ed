"""Tune the arms of the study by the protocol's rule, out of the run folders of `sweep=study_tuning`.

    python experiments/curiosity_noise_world/tune.py SWEEP... -o results/tuning.csv

Writes the `coverage_auc` of each arm, pair of learning rate and entropy coefficient, world and seed. As long as the two
best pairs of an arm have not run with the second seed, it tells the sweeps that are missing; then it names the winners.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

from collect import choice, short, write_rows

from pamiq_exp.analysis import find_runs, read_runs

RATE, ENTROPY = "models.policy.learning_rate", "models.policy.entropy_coefficient"
WORLDS = ("clean", "remote")
FIRST_SEED, SECOND_SEED = 0, 1
FINALISTS = 2

Pair = tuple[str, str]
"""Learning rate and entropy coefficient, as they were typed."""
Scores = dict[Pair, dict[tuple[str, int], float]]
"""`coverage_auc` of one arm by pair, world and seed."""


def mean(scores: Scores, pair: Pair, seeds: tuple[int, ...]) -> float:
    """Return the mean over worlds and seeds. Raises SystemExit where a run is missing."""
    lacking = [(world, seed) for world in WORLDS for seed in seeds if (world, seed) not in scores[pair]]
    if lacking:
        raise SystemExit(f"{RATE}={pair[0]} {ENTROPY}={pair[1]} has not finished {lacking}: go on with --resume")
    values = [scores[pair][world, seed] for world in WORLDS for seed in seeds]
    return sum(values) / len(values)


def missing(pair: Pair, arm: str) -> str:
    """Return the sweep that runs a pair with the second seed."""
    return (
        f"python -m pamiq_exp -m sweep=study_tuning arm={arm} seed={SECOND_SEED} {RATE}={pair[0]} {ENTROPY}={pair[1]}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweeps", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    arms: dict[str, Scores] = defaultdict(lambda: defaultdict(dict))
    for run in read_runs(find_runs(arguments.sweeps)):
        score = run.value("coverage_auc")
        if run.state == "finished" and run.seed is not None and score is not None:
            pair = choice(run, RATE), choice(run, ENTROPY)
            arms[choice(run, "arm")][pair][choice(run, "world"), run.seed] = score
    rows: list[list[object]] = []
    for arm, scores in arms.items():
        ranked = sorted(scores, key=lambda pair: -mean(scores, pair, (FIRST_SEED,)))
        finalists = ranked[:FINALISTS]
        to_run = [pair for pair in finalists if any((world, SECOND_SEED) not in scores[pair] for world in WORLDS)]
        if to_run:
            print(*(missing(pair, arm) for pair in to_run), sep="\n")
        else:
            winner = max(finalists, key=lambda pair: mean(scores, pair, (FIRST_SEED, SECOND_SEED)))
            print(f"{arm}: learning rate {winner[0]}, entropy coefficient {winner[1]}")
        for pair in ranked:
            figures = (scores[pair].get((world, seed), "") for seed in (FIRST_SEED, SECOND_SEED) for world in WORLDS)
            rows.append([arm, *pair, *map(short, figures), int(not to_run and pair == winner)])
    head = [f"{world}_seed_{seed}" for seed in (FIRST_SEED, SECOND_SEED) for world in WORLDS]
    write_rows(arguments.output, ["arm", "learning_rate", "entropy_coefficient", *head, "chosen"], rows)


if __name__ == "__main__":
    main()
