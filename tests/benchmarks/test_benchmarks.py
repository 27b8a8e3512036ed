"""Each benchmark runs to its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

SHORTEST: dict[str, str] = {
    "bench_data": "--memory-steps 1000",
    "bench_encoders": "--seeds 1 --frames 300 --fitted 100 --asked 100 --updates 2",
    "bench_inference": "--steps 20 --repeats 1",
    "bench_launcher": "--seconds 1 --repeats 1",
    "bench_learner": "--seconds 1 --repeats 1",
    "bench_linear_scan": "--repeats 1",
    "bench_metrics": "--steps 500",
    "bench_model_sizes": "--repeats 1 --most-parameters 1 cpu",
    "bench_noise_world": "--first",
    "bench_records": "",
    "bench_streams": "--seconds 1 --repeats 1 --device cpu",
    "bench_study": "--repeats 1",
    "bench_trace": "--seconds 2 --repeats 1",
    "bench_trainer_loop": "",
}
"""Arguments of a short run."""

NEED_MORE = {
    "bench_cluster": "Ray",
    "bench_dashboard": "a browser, and a quarter of an hour",
    "bench_peers": "other libraries, which it installs",
}
"""Requirements of the others, which not every machine meets."""


def test_benchmarks_all_have_a_short_run_or_a_stated_requirement() -> None:
    files = {path.stem for path in Path(__file__).parent.glob("bench_*.py")}
    assert files == {*SHORTEST, *NEED_MORE}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SHORTEST)
def test_benchmark_runs_to_its_end(name: str) -> None:
    words = [sys.executable, "-m", f"tests.benchmarks.{name}", *SHORTEST[name].split()]
    ended = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "|" in ended.stdout
