"""The benchmarks for a GPU also run on a CPU."""

import pytest
import torch

from tests.benchmarks import gpu


@pytest.mark.slow
def test_gpu_renderer_rows_measure_on_a_cpu() -> None:
    (row,) = gpu.renderer_rows("cpu", [2], turns=3)
    assert row.value > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, so everything would be measured")
def test_gpu_benchmark_without_a_gpu_reports_that_nothing_was_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["gpu"])
    assert gpu.main() == 0
    assert "Nothing was measured. torch" in capsys.readouterr().out
