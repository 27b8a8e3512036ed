"""Folders that the user has called their own: what their files name is taken as if it had been typed.

The list is kept in the user's config directory, never in a folder that it names.
"""

from __future__ import annotations

import os
from pathlib import Path

from pamiq_exp.config.errors import ConfigError, ErrorDetail

TRUST_FLAG = "--trust"


def trusted_folders_file() -> Path:
    """Return where the list is kept: below `$XDG_CONFIG_HOME`, else below `~/.config`."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()
    return Path(base) / "pamiq_exp" / "trusted_folders"


def trusted_folders() -> list[Path]:
    """Return the folders that the user trusts."""
    try:
        lines = trusted_folders_file().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError, RuntimeError):  # no list, or no home to keep it in
        return []
    return [Path(line) for line in lines if line.startswith("/")]


def trust_folder(folder: str) -> Path:
    """Add a folder to the list, and return its full path. Raises ConfigError for what is no folder."""
    path = Path(folder).expanduser().resolve()
    if not folder or not path.is_dir() or "\n" in str(path):
        raise ConfigError(ErrorDetail(TRUST_FLAG, f"there is no folder {folder!r}", f"{TRUST_FLAG} FOLDER"))
    known = trusted_folders()
    if path not in known:
        try:
            file = trusted_folders_file()
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file.write_text("".join(f"{each}\n" for each in (*known, path)), encoding="utf-8")
        except (OSError, RuntimeError) as error:
            raise ConfigError(
                ErrorDetail(TRUST_FLAG, f"the list of trusted folders cannot be written: {error}")
            ) from error
    return path


def is_trusted(path: Path) -> bool:
    """Whether a file lies in a folder that the user trusts, links followed."""
    real = path.resolve()
    return any(real.is_relative_to(folder) for folder in trusted_folders())
