"""`python -m pamiq_exp check experiment=NAME [key=value ...]`: what is wrong with a config; nothing is run.

`--origins` prints the config with what set each of its values.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence

from pamiq_exp.cli._arguments import command_parser
from pamiq_exp.config import (
    Composed,
    ConfigError,
    Origin,
    Validated,
    compose,
    examine,
    group_choices,
    origin_of,
    untried_choices,
    variants,
)
from pamiq_exp.jobs.preflight import (
    compose_what_can_be,
    require_choice,
    require_folder,
    untried_message,
    warnings_message,
)
from pamiq_exp.jobs.request import Request, find_trusted_packages, print_error, read_request
from pamiq_exp.jobs.sizes import size_lines
from pamiq_exp.sweeps.sweep_file import expand

INDENT = "  "
WIDEST = 60


def main(words: Sequence[str]) -> int:
    """Print all errors of a config. Returns 1 if there are any, else 0."""
    arguments, others = _parser().parse_known_args(words)
    try:
        request = expand(read_request(others))
        if arguments.origins:
            _print_origins(request)
        return _check(request)
    except ConfigError as error:
        print_error(error, heading="this config has errors")
        return 1


def _parser() -> argparse.ArgumentParser:
    usage = "experiment=NAME [key=value ...] [-m] [--config-dir FOLDER] [--allow PACKAGE] [--no-dry-run]"
    parser = command_parser("check", "Report all errors of a config. Nothing is run.", usage=usage)
    parser.add_argument("--origins", action="store_true", help="print the config with what set each of its values")
    return parser


def _check(request: Request) -> int:
    from pamiq_exp.run_folder import mask_text

    warnings: dict[str, None] = {}
    lists = variants(request.overrides, request.source) if request.flags.multirun else [list(request.overrides)]
    for overrides in lists:
        composed, errors = compose_what_can_be(overrides, request.source)
        if composed is None:
            raise ConfigError(errors)
        if not errors:
            require_choice(composed, request)
        find_trusted_packages(request.allow)
        found = examine(composed, request.allow, dry_run=request.dry_run and not errors)
        known = {(each.key, each.message) for each in errors}
        errors += [each for each in found.errors if (each.key, each.message) not in known]
        if errors:
            raise ConfigError(errors)
        require_folder(composed, multirun=bool(request.flags.multirun))
        warnings |= dict.fromkeys(map(str, found.warnings))
    print("no errors found" if request.dry_run else "no errors found; nothing was tried in a dry run")
    if warnings:
        print(mask_text(warnings_message(list(warnings))))
    if request.flags.multirun:
        for words in group_choices(request.overrides, request.source):
            compose(words, request.source)
    if request.flags.multirun and request.dry_run:
        print(untried_message(untried_choices(request.overrides, request.source), len(lists)))
    if len(lists) == 1:
        print(mask_text("\n".join(_summary_lines(found))))
    return 0


def _summary_lines(found: Validated) -> Iterator[str]:
    """Yield what was chosen, and how large the parts are if a dry run has measured it."""
    yield f"chosen: {found.composed.chosen}"
    if found.measured is not None:
        yield from (f"  {line}" for line in size_lines(found))


def _print_origins(request: Request) -> None:
    for line in origin_lines(compose(request.overrides, request.source)):
        print(line)


def origin_lines(composed: Composed) -> Iterator[str]:
    """Yield a composed config as YAML-like lines, each value with its origin and who wrote that. Secrets are masked."""
    from pamiq_exp.run_folder import mask_secrets

    yield from _lines(mask_secrets(composed.tree), "", 0, composed.origins)


def _lines(node: object, key: str, depth: int, table: Mapping[str, Origin]) -> Iterator[str]:
    if isinstance(node, Mapping):
        for name, value in node.items():
            address = f"{key}.{name}" if key else str(name)
            yield from _entry(f"{name}:", value, address, depth, table)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _entry("-", value, f"{key}[{index}]", depth, table)


def _entry(label: str, value: object, key: str, depth: int, table: Mapping[str, Origin]) -> Iterator[str]:
    nested = isinstance(value, (Mapping, list)) and bool(value) and not _is_flat(value)
    shown = label if nested else f"{label} {_plain(value)}"
    origin = origin_of(key, table)
    if nested or origin is None:
        yield f"{INDENT * depth}{shown}"
    else:
        yield f"{INDENT * depth + shown:<{WIDEST}}  # {_masked(origin)}"
    if nested:
        yield from _lines(value, key, depth + 1, table)


def _masked(origin: Origin) -> str:
    from pamiq_exp.run_folder import mask_secrets

    if not origin.text:
        return f"{origin} ({origin.kind})"
    [text] = mask_secrets([origin.text])
    return f"{origin.file}: {text}" + ("" if origin.kind == "typed" else f" ({origin.kind})")


def _is_flat(value: object) -> bool:
    return isinstance(value, list) and not any(isinstance(item, (Mapping, list)) for item in value)


def _plain(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_plain, value))}]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
