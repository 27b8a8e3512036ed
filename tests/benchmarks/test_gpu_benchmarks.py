"""The benchmarks for a GPU go their whole way where there is none, too."""

import pytest
import torch

from tests.benchmarks import gpu
from tests.benchmarks.bench_streams import rows


@pytest.mark.slow
def test_the_gpu_benchmark_goes_its_whole_way_on_a_cpu() -> None:
    found = list(rows(seconds=1.0, repeats=1, device="cpu"))
    assert len(found) == 5
    assert all(row.figure > 0 for row in found)


@pytest.mark.slow
def test_the_renderers_are_compared_on_a_cpu() -> None:
    (row,) = gpu.renderer_rows("cpu", [2], turns=3)
    assert row.figure > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, so everything would be measured")
def test_bench_gpu_without_a_gpu_says_what_it_needs_and_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["gpu"])
    assert gpu.main() == 0
    assert "Nothing was measured. torch" in capsys.readouterr().out
