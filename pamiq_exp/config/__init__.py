"""From YAML and command line to the parts of an experiment: compose, check, build."""

from pamiq_exp.config.allow_list import AllowList
from pamiq_exp.config.build import Builder
from pamiq_exp.config.check import check_names, check_parts
from pamiq_exp.config.compose import Source, compose_config, config_folder, override_values, read_config, variants
from pamiq_exp.config.experiment import Experiment, build_experiment, derived_seeds
from pamiq_exp.config.freeze import freeze, freeze_override
from pamiq_exp.config.guard import check_hydra
from pamiq_exp.config.origins import Origins, located, origin_of, origins, origins_of_file
from pamiq_exp.config.problems import ConfigError, Origin, Problem, nearest, words_of
from pamiq_exp.config.resolvers import register_resolvers

__all__ = [
    "AllowList",
    "Builder",
    "ConfigError",
    "Experiment",
    "Origin",
    "Origins",
    "Problem",
    "Source",
    "build_experiment",
    "check_hydra",
    "check_names",
    "check_parts",
    "compose_config",
    "config_folder",
    "derived_seeds",
    "freeze",
    "freeze_override",
    "located",
    "nearest",
    "origin_of",
    "origins",
    "origins_of_file",
    "override_values",
    "read_config",
    "register_resolvers",
    "variants",
    "words_of",
]
