"""What the pages of studies say follows from the runs that they publish."""

from __future__ import annotations

from pathlib import Path

from pamiq_exp.analysis import collect_scores, compare, read_contrasts, read_run_table, result_tables
from pamiq_exp.analysis.contrasts import contrast_table, findings

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


def test_published_study_tables_follow_from_its_published_runs() -> None:
    folder = EXPERIMENTS / "curiosity_noise_world"
    runs = read_run_table(folder / "results" / "runs.csv")
    scores = collect_scores(compare(runs, arm_keys=("arm",), task_keys=("world",)), "coverage_auc")
    listed = read_contrasts(folder / "contrasts.yaml")
    found, missing = findings(listed, scores)
    assert missing == []
    contrasts = contrast_table(found, "coverage_auc", len(listed)).to_markdown()
    assert contrasts == (folder / "results" / "contrasts.md").read_text()
    assert result_tables(scores, None)[0].to_markdown() == (folder / "results" / "results.md").read_text()
