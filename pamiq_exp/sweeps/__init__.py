"""Sweeps: their files, folders, jobs, view, search with Optuna, and Ray."""

__all__: list[str] = []
