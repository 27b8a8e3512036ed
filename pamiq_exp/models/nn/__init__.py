"""Parts of models: layers, distributions, running statistics."""

__all__: list[str] = []
