"""`python -m pamiq_exp check experiment=NAME [key=value ...]`: what is wrong with a config; nothing is run."""

from __future__ import annotations

from collections.abc import Sequence

from pamiq_exp.cli._arguments import read_request, tell
from pamiq_exp.cli._preflight import preflight
from pamiq_exp.config import ConfigError


def main(words: Sequence[str]) -> int:
    """Tell all problems of a config. Returns 1 if there are any, else 0."""
    try:
        preflight(read_request(words))
    except ConfigError as error:
        tell(error, heading="this config has problems")
        return 1
    print("no problems found")
    return 0
