"""The benchmarks for a GPU go their whole way where there is none, too."""

import pytest
import torch

from tests.benchmarks import gpu
from tests.benchmarks.bench_streams import rows


@pytest.mark.slow
def test_bench_streams_measures_all_rows_on_a_cpu() -> None:
    found = list(rows(seconds=1.0, repeats=1, device="cpu"))
    assert len(found) == 5
    assert all(row.figure > 0 for row in found)


@pytest.mark.slow
def test_gpu_renderer_rows_measure_on_a_cpu() -> None:
    (row,) = gpu.renderer_rows("cpu", [2], turns=3)
    assert row.figure > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, so everything would be measured")
def test_gpu_benchmark_without_a_gpu_reports_that_nothing_was_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["gpu"])
    assert gpu.main() == 0
    assert "Nothing was measured. torch" in capsys.readouterr().out
