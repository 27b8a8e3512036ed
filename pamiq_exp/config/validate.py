"""Validation of a config in stages; a run builds exactly what has passed."""

from __future__ import annotations

from pamiq_exp.config.checks.allow_list import AllowList
from pamiq_exp.config.checks.choices import choice_errors
from pamiq_exp.config.checks.static import launcher_warnings, part_errors, static_errors, unsafe_errors
from pamiq_exp.config.compose import Composed
from pamiq_exp.config.dry_run import Validated, perform_dry_run
from pamiq_exp.config.errors import ConfigError


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
    found = Validated(composed, allow, static_errors(composed, allow, unsafe))
    # Arguments that a target does not take may follow from choices that do not go together.
    if not unsafe and not choice_errors(composed.hydra):
        known = {(each.key, each.message) for each in found.errors}
        found.errors += [each for each in part_errors(composed, allow) if (each.key, each.message) not in known]
        if not found.errors and dry_run:
            perform_dry_run(found)
        if not found.errors:
            found.warnings[:0] = launcher_warnings(composed)
    found.errors, found.warnings = composed.located(found.errors), composed.located(found.warnings)
    return found
