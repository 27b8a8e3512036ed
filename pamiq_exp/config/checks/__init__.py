"""What `validate` looks at."""

__all__: list[str] = []
