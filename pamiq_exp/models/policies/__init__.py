"""Policies: networks for any observations and actions, and PPO."""

__all__: list[str] = []
