"""From YAML and command line to the parts of an experiment: compose, check, build."""

from pamiq_exp.config.allow_list import AllowList
from pamiq_exp.config.build import Builder
from pamiq_exp.config.check import check_names, check_parts, plain_tree, unsafe_targets
from pamiq_exp.config.compose import (
    Source,
    compose_config,
    override_values,
    parse_overrides,
    read_config,
    untried_choices,
    variants,
)
from pamiq_exp.config.composition import Composition, compose_again, record_composition, source_of
from pamiq_exp.config.experiment import Experiment, build_experiment, derived_seeds
from pamiq_exp.config.files import config_folder
from pamiq_exp.config.foreign import check_values
from pamiq_exp.config.freeze import freeze, freeze_override
from pamiq_exp.config.guard import check_hydra
from pamiq_exp.config.origins import Origins, foreign_files, located, origin_of, origins, origins_of_file
from pamiq_exp.config.problems import ConfigError, Origin, Problem, nearest, words_of
from pamiq_exp.config.rehearse import DryRun, in_bytes, rehearsal
from pamiq_exp.config.resolvers import register_resolvers

__all__ = [
    "AllowList",
    "Builder",
    "Composition",
    "ConfigError",
    "DryRun",
    "Experiment",
    "Origin",
    "Origins",
    "Problem",
    "Source",
    "build_experiment",
    "check_hydra",
    "check_names",
    "check_parts",
    "check_values",
    "compose_again",
    "compose_config",
    "config_folder",
    "derived_seeds",
    "foreign_files",
    "freeze",
    "freeze_override",
    "in_bytes",
    "located",
    "nearest",
    "origin_of",
    "origins",
    "origins_of_file",
    "override_values",
    "parse_overrides",
    "plain_tree",
    "read_config",
    "record_composition",
    "register_resolvers",
    "rehearsal",
    "source_of",
    "unsafe_targets",
    "untried_choices",
    "variants",
    "words_of",
]
