"""What Hydra itself writes holds the config as it was typed: secrets are masked in it before a job begins.

Until then no other user may look: the folders of runs and sweeps are the user's alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import yaml
from hydra.types import RunMode
from omegaconf import DictConfig


def mask_files_of_hydra(settings: DictConfig) -> None:
    """Mask the secrets in Hydra's files of this job and its sweep: `multirun.yaml`, and `.hydra` where it is wanted.

    Args:
        settings: Hydra's own node.
    """
    from pamiq_exp.files import write_atomically
    from pamiq_exp.run_folder import mask_secrets

    for path in _files(settings):
        with suppress(OSError, yaml.YAMLError):  # another job of the sweep may be at it
            written = yaml.safe_load(path.read_text(encoding="utf-8"))
            masked = mask_secrets(written)
            if masked != written:
                write_atomically(path, yaml.safe_dump(masked, sort_keys=False, allow_unicode=True))


def close_to_others(folder: Path) -> None:
    """Make a folder accessible to its owner only, where the disk has permissions."""
    with suppress(OSError):
        folder.chmod(0o700)


def _files(settings: DictConfig) -> Iterator[Path]:
    if settings.mode == RunMode.MULTIRUN:
        yield Path(str(settings.sweep.dir)) / "multirun.yaml"
    if settings.output_subdir is not None:
        yield from sorted((Path(str(settings.runtime.output_dir)) / str(settings.output_subdir)).glob("*.yaml"))
