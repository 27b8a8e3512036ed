"""Encoders: observations to latent vectors."""

__all__: list[str] = []
