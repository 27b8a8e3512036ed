"""Data sets recorded from environments: transitions of random walks, and at fixed poses."""

__all__: list[str] = []
