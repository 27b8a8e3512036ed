"""The ways to scan that need no GPU."""

from __future__ import annotations

from pamiq_exp.scan import METHODS as ALL

METHODS = tuple(each for each in ALL if each != "associative")
"""The associative scan has its own tests in `test_gpu`."""
