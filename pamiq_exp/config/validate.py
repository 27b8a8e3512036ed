"""Validation of a config in stages; a run builds exactly what has passed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pamiq_exp.config.checks.allow_list import AllowList
from pamiq_exp.config.checks.choices import choice_errors
from pamiq_exp.config.checks.static import launcher_warnings, part_errors, static_errors, unsafe_errors
from pamiq_exp.config.compose import Composed
from pamiq_exp.config.dry_run import perform_dry_run
from pamiq_exp.config.errors import ConfigError, ErrorDetail

if TYPE_CHECKING:
    from pamiq_exp.runtime.dry_run import DryRunResult


@dataclass
class Validated:
    """What a validation has found.

    Attributes:
        composed: The config.
        allow: What it may name.
        errors: All that is wrong, each with what set its key; a config with errors cannot be built.
        warnings: What may be wrong, or due to the generated data of the dry run.
        tree: The config as the dry run has built it; empty without a dry run.
        measured: What the dry run has measured, if it came to that.
    """

    composed: Composed
    allow: AllowList
    errors: list[ErrorDetail] = field(default_factory=list)
    warnings: list[ErrorDetail] = field(default_factory=list)
    tree: Mapping[str, Any] = field(default_factory=dict)
    measured: DryRunResult | None = None


def validate_names(composed: Composed, allow: AllowList) -> None:
    """Look at what shows without importing any part. Raises ConfigError with all that is wrong."""
    if errors := static_errors(composed, allow):
        raise ConfigError(composed.located(errors))


def validate(composed: Composed, allow: AllowList, *, dry_run: bool = True) -> Validated:
    """Validate a config in all stages. Raises ConfigError with all that is wrong, if anything is."""
    result = examine(composed, allow, dry_run=dry_run)
    if result.errors:
        raise ConfigError(result.errors)
    return result


def examine(composed: Composed, allow: AllowList, *, dry_run: bool = True) -> Validated:
    """Find all that is wrong with a config, in all stages that can be gone through.

    Nothing is imported for a config that names what it may not, and nothing is built for one whose arguments do not
    fit.

    Args:
        composed: The config.
        allow: What it may name.
        dry_run: Whether to try the parts on each other.
    """
    unsafe = unsafe_errors(composed, allow)
    errors = static_errors(composed, allow, unsafe)
    warnings: list[ErrorDetail] = []
    result = Validated(composed, allow)
    # Arguments that a target does not take may follow from choices that do not go together.
    if not unsafe and not choice_errors(composed.hydra):
        known = {(each.key, each.message) for each in errors}
        errors += [each for each in part_errors(composed, allow) if (each.key, each.message) not in known]
        if not errors and dry_run:
            found = perform_dry_run(composed, allow)
            errors, warnings = found.errors, found.warnings
            result.tree, result.measured = found.tree, found.measured
        if not errors:
            warnings = [*launcher_warnings(composed), *warnings]
    result.errors, result.warnings = composed.located(errors), composed.located(warnings)
    return result
