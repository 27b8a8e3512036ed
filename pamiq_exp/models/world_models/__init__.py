"""World models: reward and continue heads, imagined trajectories, policies that learn from them."""

__all__: list[str] = []
