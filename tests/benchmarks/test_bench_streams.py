"""The benchmark for a GPU goes its whole way where there is none, too."""

import pytest

from tests.benchmarks.bench_streams import rows


@pytest.mark.slow
def test_the_gpu_benchmark_goes_its_whole_way_on_a_cpu() -> None:
    found = list(rows(seconds=1.0, repeats=1, device="cpu"))
    assert len(found) == 5
    assert all(row.figure > 0 for row in found)
