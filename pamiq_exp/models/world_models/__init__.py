"""TODO first line."""

__all__: list[str] = []
