"""A sweep whose configs stay what they were when it began."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

from omegaconf import OmegaConf

from pamiq_exp.config import compose_config, variants
from pamiq_exp.config.compose import quoted
from pamiq_exp.jobs.masking import close_to_others
from pamiq_exp.jobs.request import Request
from pamiq_exp.sweeps import freeze, freeze_override


def freeze_sweep(request: Request, folder: Path | None = None) -> Request:
    """Copy the config files of a sweep into its folder, and return the request that reads the copies from there.

    Args:
        request: A sweep that was found sound.
        folder: The sweep's folder; by default a new one, as the config names it. Copies that lie there are kept.
    """
    first, *_ = variants(request.overrides, request.source)
    if folder is None:
        folder = Path(str(OmegaConf.select(compose_config(first, request.source), "hydra.sweep.dir")))
    folder = folder.absolute()
    if not folder.exists():
        folder.mkdir(parents=True)
        close_to_others(folder)
    source = freeze(request.source, folder)
    flags = copy.copy(request.flags)
    flags.overrides = [freeze_override(word, folder) for word in request.overrides]
    flags.overrides.append(f"hydra.sweep.dir={quoted(str(folder))}")
    return replace(request, flags=flags, source=source)
