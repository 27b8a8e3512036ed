"""`python -m pamiq_exp check experiment=NAME [key=value ...]`: what is wrong with a config; nothing is run.

`--origins` prints the config with what set each of its values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from omegaconf import DictConfig

from pamiq_exp.cli._arguments import Request, read_request, tell
from pamiq_exp.cli._preflight import examine, require_choice, require_folder, told_untried, told_warnings
from pamiq_exp.cli._sizes import size_lines
from pamiq_exp.config import (
    ConfigError,
    Origin,
    compose_config,
    origin_of,
    origins,
    plain_tree,
    untried_choices,
    variants,
)

ORIGINS_FLAG = "--origins"
INDENT = "  "
WIDEST = 60


def main(words: Sequence[str]) -> int:
    """Tell all problems of a config. Returns 1 if there are any, else 0."""
    with_origins = ORIGINS_FLAG in words
    try:
        request = read_request([word for word in words if word != ORIGINS_FLAG])
        if with_origins:
            _print_origins(request)
        return _check(request)
    except ConfigError as error:
        tell(error, heading="this config has problems")
        return 1


def _check(request: Request) -> int:
    from pamiq_exp.tracking import mask_text

    warnings: dict[str, None] = {}
    lists = variants(request.overrides, request.source) if request.flags.multirun else [list(request.overrides)]
    for overrides in lists:
        found = examine(overrides, request)
        if found.config is not None:
            require_choice(found.config, request)
        if found.problems:
            raise ConfigError(found.problems)
        require_folder(found.config, multirun=bool(request.flags.multirun))
        warnings |= dict.fromkeys(map(str, found.warnings))
    print("no problems found" if request.dry_run else "no problems found; nothing was tried in a dry run")
    if warnings:
        print(mask_text(told_warnings(list(warnings))))
    if request.flags.multirun and request.dry_run:
        print(told_untried(untried_choices(request.overrides, request.source), len(lists)))
    if len(lists) == 1 and found.config is not None and found.rehearsal is not None:
        lines = size_lines(found.config, found.rehearsal)
        print(mask_text("\n".join(f"  {line}" for line in lines)))
    return 0


def _print_origins(request: Request) -> None:
    config = compose_config(request.overrides, request.source)
    for line in origin_lines(config):
        print(line)


def origin_lines(config: DictConfig) -> Iterator[str]:
    """Yield a composed config as YAML-like lines, each value with the file and line that set it. Secrets are masked."""
    from pamiq_exp.tracking import mask_secrets

    yield from _lines(mask_secrets(plain_tree(config)), "", 0, origins(config))


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
    from pamiq_exp.tracking import mask_secrets

    if not origin.typed:
        return str(origin)
    [text] = mask_secrets([origin.text])
    return f"{origin.file}: {text}"


def _is_flat(value: object) -> bool:
    return isinstance(value, list) and not any(isinstance(item, (Mapping, list)) for item in value)


def _plain(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_plain, value))}]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
