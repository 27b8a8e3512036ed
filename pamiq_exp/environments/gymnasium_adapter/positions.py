"""Where well-known environments keep the position and the heading of their agent."""

from __future__ import annotations

from pamiq_exp.environments.gymnasium_adapter.copies import Copies

PATHS = {"position": ("agent_pos", "agent.pos"), "heading": ("agent_dir", "agent.dir")}
"""Attributes of MiniGrid's and MiniWorld's environments, by the name of the ground truth."""


def known_truth(copies: Copies) -> dict[str, str]:
    """Return which of `PATHS` the environments have, as `truth` of `GymnasiumEnvironment`."""
    return {name: path for name, paths in PATHS.items() for path in paths if _has(copies, path)}


def _has(copies: Copies, path: str) -> bool:
    try:
        copies.attribute(path)
    except Exception:  # a property may want a reset first, and fail in its own way
        return False
    return True
