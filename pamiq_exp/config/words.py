"""Words of a command line such as `key=value` and `key=1,2,3`, and the jobs of a sweep that they stand for."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.errors import OverrideParseException

from pamiq_exp.config.errors import ConfigError, ErrorDetail
from pamiq_exp.config.hydra_internals import BasicSweeper
from pamiq_exp.config.hydra_loader import Loader, Source, key_of_word
from pamiq_exp.run_folder import note_secrets

MOST_VARIANTS = 20
MOST_CHOICES = 1000
"""Of one key that are looked at."""
MOST_JOBS = 100_000
MOST_WORDS = 1000
"""Of one command line: of what is typed, and of what a sweep file or a run has kept."""
LONGEST_WORDS = 50_000
"""Characters of all of them."""


def parse_overrides(
    overrides: Sequence[str], source: Source = Source(), loader: ConfigLoader | None = None
) -> list[Override]:
    """Read `key=value` words of a source; `loader` knows what `glob(*)` stands for. Raises ConfigError for others."""
    note_secrets(list(overrides))
    if len(overrides) > MOST_WORDS or sum(map(len, overrides)) > LONGEST_WORDS:
        message = f"a config is made of at most {MOST_WORDS:,} words with {LONGEST_WORDS:,} characters"
        raise ConfigError(ErrorDetail("", message, "put values into a config file"))
    for word in overrides:
        if not word.partition("=")[0].strip("+~ "):
            message = f"'{word}' names no key"
            raise ConfigError(ErrorDetail("", message, "write key=value", source.origin_of_word(word)))
        if "=" not in word and not word.startswith("~"):
            hint = f"write key=value; an experiment is chosen with experiment={word}"
            raise ConfigError(ErrorDetail("", f"'{word}' gives no value", hint, source.origin_of_word(word)))
    try:
        parsed = OverridesParser.create(loader).parse_overrides(list(overrides))
        for each in parsed:
            if each.is_discrete_sweep():
                _require_few_jobs([each])
        return parsed
    except RecursionError as error:
        raise ConfigError(ErrorDetail("", "a value nests too deep", "put it into a config file")) from error
    except OverrideParseException as error:
        key, _, value = error.override.partition("=")
        if key.isascii() and not value.isascii() and not re.search(r"[\[\]{}()'\",=\s]", value):
            raise ConfigError(ErrorDetail(key, f"{value} has to be quoted", f"type '{key}=\"{value}\"'")) from error
        message = f"cannot be read: {str(error).splitlines()[0]}"
        hint = "write key=value; quote what holds commas, braces, equals signs or other alphabets: 'key=\"a,b\"'"
        raise ConfigError(ErrorDetail(error.override, message, hint, source.origin_of_word(error.override))) from error


def quoted(text: str) -> str:
    """Return text as a value that stands for itself in Hydra's grammar, whatever it holds."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def variants(overrides: Sequence[str], source: Source = Source()) -> list[list[str]]:
    """Return overrides without sweeps: the first job of a sweep, then each other choice of each key once.

    A sweep of a thousand jobs has few choices for each key, and a mistake lies in a choice. At most 20 are tried, of
    all keys in turn; whole-numbered seeds never are: they are interchangeable.
    """
    first, others = _alternatives(overrides, source)
    return [first] + [[*first[:at], choice, *first[at + 1 :]] for at, choice in others[:MOST_VARIANTS]]


def untried_choices(overrides: Sequence[str], source: Source = Source()) -> list[str]:
    """Return the choices of a sweep, such as `launcher=lockstep`, that are not among its `variants`."""
    return [choice for _, choice in _alternatives(overrides, source)[1][MOST_VARIANTS:]]


def group_choices(overrides: Sequence[str], source: Source = Source()) -> list[list[str]]:
    """Return the variants of a sweep that `variants` leaves out and that choose another file."""
    first, others = _alternatives(overrides, source)
    loader = Loader(source)
    untried = [(at, choice) for at, choice in others[MOST_VARIANTS:] if loader.get_group_options(key_of_word(choice))]
    return [[*first[:at], choice, *first[at + 1 :]] for at, choice in untried]


def _alternatives(overrides: Sequence[str], source: Source) -> tuple[list[str], list[tuple[int, str]]]:
    """Return the first job of a sweep, and all other choices with the place of their key, the second of each first."""
    choices = [_choices(override) for override in parse_overrides(overrides, source, Loader(source))]
    others = [(at, choice) for at, each in enumerate(choices) for choice in each[1:]]
    turns = [(choices[at].index(choice), at, choice) for at, choice in others if not re.fullmatch(r"seed=\d+", choice)]
    return [each[0] for each in choices], [(at, choice) for _, at, choice in sorted(turns)]


def sweep_jobs(overrides: Sequence[str], source: Source = Source()) -> list[list[str]]:
    """Return the overrides of every job of a grid, in the order in which Hydra numbers them.

    Raises:
        ConfigError: For too many jobs (`MOST_JOBS`).
    """
    parsed = parse_overrides(overrides, source, Loader(source))
    _require_few_jobs([each for each in parsed if each.is_discrete_sweep()])
    (batch,) = BasicSweeper.split_arguments(parsed, None)
    return batch


def _choices(override: Override) -> list[str]:
    key = override.get_key_element()
    if override.is_interval_sweep():
        interval = override.value()
        assert isinstance(interval, IntervalSweep)
        return [f"{key}={interval.start}"]  # a search: any value in it will do
    if not override.is_discrete_sweep():
        return [override.input_line or ""]
    values = [f"{key}={value}" for value in itertools.islice(override.sweep_string_iterator(), MOST_CHOICES)]
    if not values:
        raise ConfigError(
            ErrorDetail(key, f"{override.input_line} matches nothing", "look for the choices with --help")
        )
    return values


def _require_few_jobs(sweeps: Sequence[Override]) -> None:
    """Raise ConfigError for more combinations than a grid may have. None of them is made for that."""
    if math.prod(map(_number_of_choices, sweeps)) > MOST_JOBS:
        words = " ".join(each.input_line or "" for each in sweeps)
        raise ConfigError(ErrorDetail("", f"{words} are more than {MOST_JOBS:,} jobs", "sweep over less at once"))


def _number_of_choices(override: Override) -> float:
    sweep = override.value()
    if isinstance(sweep, RangeSweep):
        assert sweep.start is not None
        assert sweep.stop is not None
        return max(0.0, (sweep.stop - sweep.start) / sweep.step) if sweep.step else math.inf
    return len(sweep.list) if isinstance(sweep, ChoiceSweep) else sum(1 for _ in override.sweep_iterator())
