"""What happens on NaN or infinity in a loss, gradient or action."""

from __future__ import annotations

from typing import Literal

OnNonfinite = Literal["stop", "skip"]
"""`stop` ends the run with an error, `skip` skips the batch or replaces the action, and counts it."""
