"""Results of the reference library for some scores.

    python -m tests.analysis.reference

writes `rliable_1_2_0.json` anew. It needs rliable, which needs pandas below 3, and is no dependency of the tests.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np


def ask_rliable(generator: np.random.Generator, runs: int = 10, tasks: int = 3) -> dict[str, list[float]]:
    """Return scores of two methods, `(runs, tasks)`, and the results of rliable for them."""
    from rliable import library, metrics

    first = generator.beta(3, 2, size=(runs, tasks)) + 0.1 * np.arange(tasks)
    second = generator.beta(2, 2, size=(runs, tasks)) + 0.1 * np.arange(tasks)
    thresholds = np.linspace(0.0, 1.2, 13)

    def both(scores: np.ndarray) -> np.ndarray:
        return np.array([metrics.aggregate_mean(scores), metrics.aggregate_iqm(scores)])

    points, ends = library.get_interval_estimates(
        {"first": first}, both, reps=20_000, random_state=np.random.RandomState(0)
    )
    improvement, improvement_ends = library.get_interval_estimates(
        {"pair": (first, second)},
        metrics.probability_of_improvement,
        reps=5000,
        random_state=np.random.RandomState(0),
    )
    profile, profile_ends = library.create_performance_profile({"first": first}, thresholds, reps=5000)
    return {
        "first": first.tolist(),
        "second": second.tolist(),
        "mean": [points["first"][0], *ends["first"][:, 0]],
        "iqm": [points["first"][1], *ends["first"][:, 1]],
        "improvement": [float(improvement["pair"]), *np.ravel(improvement_ends["pair"])],
        "thresholds": thresholds.tolist(),
        "profile": profile["first"].tolist(),
        "profile_low": profile_ends["first"][0].tolist(),
        "profile_high": profile_ends["first"][1].tolist(),
    }


if __name__ == "__main__":
    results = ask_rliable(np.random.default_rng(0))
    (Path(__file__).parent / "rliable_1_2_0.json").write_text(json.dumps(results, default=float) + "\n")
