"""Hydra plugins of pamiq_exp: a search on Optuna, and a launcher for Ray."""
