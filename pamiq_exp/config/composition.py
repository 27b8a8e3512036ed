"""What a config was composed from, kept with its run, so that it can be composed again with other choices.

A resolved config cannot take another choice of a group, and the files that it came from may have changed since. So a
run keeps the text of every file that took part. Composing again, those texts come before the files of today, which
offer what the run did not choose.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pamiq_exp.config.compose import Composed, compose
from pamiq_exp.config.errors import ConfigError, ErrorDetail, Kind, Origin
from pamiq_exp.config.hydra_loader import Source, is_hydras
from pamiq_exp.config.trust import is_trusted
from pamiq_exp.files import read_yaml

_NAME = re.compile(r"(?!\.)[\w.@ +-]+(/(?!\.)[\w.@ +-]+)*")


@dataclass(frozen=True)
class Composition:
    """How a config came about.

    Attributes:
        name: The primary config.
        overrides: What was typed, without what is meant for Hydra itself.
        files: Texts of the files that took part, by their place in a config folder, without `.yaml`.
    """

    name: str
    overrides: tuple[str, ...]
    files: Mapping[str, str]

    def to_plain(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"name": self.name, "overrides": list(self.overrides), "files": dict(self.files)}

    @classmethod
    def read(cls, path: Path) -> Composition | None:
        """Read what a run has kept; None if it kept nothing. Raises ConfigError for what cannot have been composed."""
        if not os.path.lexists(path):
            return None
        try:
            return cls._from_plain(read_yaml(path))
        except (OSError, ValueError) as error:
            raise ConfigError(ErrorDetail("", f"{path} is not what a run keeps: {error}", "start it anew")) from error

    @classmethod
    def _from_plain(cls, plain: object) -> Composition:
        if not isinstance(plain, dict) or plain.keys() != {"name", "overrides", "files"}:
            raise ValueError("expected name, overrides and files")
        name, overrides, files = plain["name"], plain["overrides"], plain["files"]
        if not isinstance(overrides, list) or not isinstance(files, dict) or name not in files:
            raise ValueError("expected a list of overrides, and texts by name")
        if not all(isinstance(text, str) for text in [*overrides, *files.values()]):
            raise ValueError("expected texts")
        if wrong := [place for place in files if not isinstance(place, str) or not _NAME.fullmatch(place)]:
            raise ValueError(f"{wrong[0]!r} is no place in a config folder")
        return cls(name, tuple(overrides), files)


def record_composition(composed: Composed) -> Composition:
    """Return what a config was made from."""
    texts = {file.place: file.option.kept_text for file in composed.files}
    return Composition(composed.source.name, tuple(word for word in composed.words if not is_hydras(word)), texts)


def compose_again(
    composition: Composition, changes: Sequence[str] = (), source: Source = Source(), file: str = "composition.yaml"
) -> Composed:
    """Compose a config from what a run has kept, with further overrides on top.

    Args:
        composition: What it was composed from. Nothing in it is trusted.
        changes: What is typed now: values and choices of groups.
        source: Where choices are looked for that the run did not make.
        file: The file that keeps the composition.

    Raises:
        ConfigError: It cannot be composed so, or it would set up Hydra itself.
    """
    words = [*composition.overrides, *changes]
    if errors := [_not_for_hydra(word) for word in words if is_hydras(word)]:
        raise ConfigError(errors)
    kind: Kind = "trusted" if is_trusted(Path(file)) else "foreign"
    kept = {word: Origin(file, text=word, kind=kind) for word in composition.overrides if word not in changes}
    return compose(words, replace(source, name=composition.name, kept=composition.files, kept_in=file, words=kept))


def _not_for_hydra(word: str) -> ErrorDetail:
    return ErrorDetail(word.partition("=")[0], "cannot be set for a run that has begun", "leave it out")
