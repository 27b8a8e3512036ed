"""From YAML and command line to the parts of an experiment: compose, validate, build."""

from pamiq_exp.config.build import Builder
from pamiq_exp.config.checks.allow_list import AllowList
from pamiq_exp.config.compose import Composed, compose, compose_config
from pamiq_exp.config.composition import Composition, compose_again, record_composition
from pamiq_exp.config.dry_run import Validated
from pamiq_exp.config.environment import build_environment
from pamiq_exp.config.errors import ConfigError, ErrorDetail, Origin, nearest, words_of
from pamiq_exp.config.experiment import Experiment, build_experiment, derived_seeds
from pamiq_exp.config.files import plain_file
from pamiq_exp.config.hydra_loader import Source
from pamiq_exp.config.provenance import Provenance, located, origin_of
from pamiq_exp.config.resolvers import register_resolvers
from pamiq_exp.config.validate import examine, validate, validate_names
from pamiq_exp.config.words import group_choices, parse_overrides, untried_choices, variants
from pamiq_exp.option_files import config_folder

__all__ = [
    "AllowList",
    "Builder",
    "Composed",
    "Composition",
    "ConfigError",
    "ErrorDetail",
    "Experiment",
    "Origin",
    "Provenance",
    "Source",
    "Validated",
    "build_environment",
    "build_experiment",
    "compose",
    "compose_again",
    "compose_config",
    "config_folder",
    "derived_seeds",
    "examine",
    "group_choices",
    "located",
    "nearest",
    "origin_of",
    "parse_overrides",
    "plain_file",
    "record_composition",
    "register_resolvers",
    "untried_choices",
    "validate",
    "validate_names",
    "variants",
    "words_of",
]
