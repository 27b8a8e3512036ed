"""Wrappers of environments: delayed actions, and environments that run on their own thread."""

__all__: list[str] = []
