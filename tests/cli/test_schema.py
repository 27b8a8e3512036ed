"""JSON schemas of config files, checked with an independent validator on every shipped file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from omegaconf import OmegaConf
from referencing import Registry, Resource

from pamiq_exp.cli._catalogue import config_folders, describe_config, groups
from pamiq_exp.cli._config_schemas import config_schemas
from pamiq_exp.config import AllowList, compose_config
from pamiq_exp.config.hydra_internals import get_yaml_loader
from tests.conftest import REPOSITORY, Command, experiment_names

FOUND = groups(config_folders())
OPTIONS = [(group, entry) for group, options in FOUND.items() for entry in options]
SHARED = sorted((REPOSITORY / "conf").glob("*/_options.yaml"))


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    return config_schemas(config_folders(), AllowList())


def errors(schemas: dict[str, Any], name: str, content: object) -> Iterator[str]:
    registry = Registry().with_resources(  # type: ignore[var-annotated]
        (f"{each}.json", Resource.from_contents(schema)) for each, schema in schemas.items()
    )
    validator = jsonschema.Draft202012Validator({"$ref": f"{name}.json"}, registry=registry)
    for error in validator.iter_errors(content):
        deepest = jsonschema.exceptions.best_match([error])
        yield f"{deepest.json_path}: {deepest.message[:300]}"


def loaded(text: str) -> object:
    return yaml.load(text, Loader=get_yaml_loader())


def test_schema_accepts_every_shipped_option(schemas: dict[str, Any]) -> None:
    assert len(OPTIONS) > 100
    assert [
        f"{group}/{entry.name}: {error}"
        for group, entry in OPTIONS
        for error in errors(schemas, group, loaded(entry.text))
    ] == []


def test_schema_accepts_every_shipped_file_of_several_options(schemas: dict[str, Any]) -> None:
    assert SHARED
    assert [
        f"{path}: {error}"
        for path in SHARED
        for error in errors(schemas, f"{path.parent.name}_options", loaded(path.read_text()))
    ] == []


WRONG = [
    ("experiment", "launcher: {mode: lockstp}", "launcher.mode"),
    ("experiment", "launcher: {max_step: 3}", "'max_step' was unexpected"),
    ("experiment", "lancher: {}", "'lancher' was unexpected"),
    ("experiment", "seed: one", "seed"),
    ("encoder", "models: {encoder: {_target_: pamiq_exp.models.IJepa, patch: big}}", "models.encoder"),
    ("encoder", "models: {encoder: {_target_: pamiq_exp.models.IJepa, pach: 8}}", "models.encoder"),
    ("encoder", "models: {encoder: {_target_: pamiq_exp.buffers.RingBuffer}}", "models.encoder"),
    ("encoder", "trainers: {encoder: {batch_siz: 8}}", "trainers.encoder"),
    ("interaction", "{delay: {step: 1}}", ""),
    ("reward", "interaction: {agent: {reward: {_target_: pamiq_exp.rewards.HashCount, bitz: 3}}}", "interaction"),
    ("normalizer", "{_target_: pamiq_exp.rewards.DiscountedStd, gama: 3}", ""),
    ("sweep", "grid: 3", "grid"),
    ("world", "noise: 3", "noise"),
]


def test_schema_rejects_invalid_content_with_an_error_at_its_key(schemas: dict[str, Any]) -> None:
    for group, text, message in WRONG:
        found = "\n".join(errors(schemas, group, loaded(text)))
        assert found, text
        assert message in found, text


def test_schema_accepts_user_classes_interpolations_and_null(schemas: dict[str, Any]) -> None:
    for text in (
        "models: {encoder: {_target_: my_parts.Autoencoder, anything: 3}}",
        "models: {encoder: {patch: '${shared.patch}'}}",
        "models: {encoder: null}",
        "trainers: {encoder: {batch_size: '???'}}",
        "defaults: [_self_, override /environment: cartpole, /reward: rnd]",
    ):
        assert list(errors(schemas, "experiment", loaded(text))) == [], text


def test_schema_is_valid_and_describes_choices_defaults_and_arguments(schemas: dict[str, Any]) -> None:
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    definitions = schemas["config"]["$defs"]
    buffer = definitions["pamiq_exp.buffers.RingBuffer"]
    assert buffer["properties"]["capacity"]["anyOf"][0] == {"type": "integer"}
    assert len(buffer["properties"]["capacity"]["description"]) > 10
    launcher = schemas["config"]["properties"]["launcher"]["properties"]
    assert launcher["mode"]["anyOf"][0]["enum"][0] == "realtime"
    assert launcher["time_scale"]["default"] == 1.0
    choices = definitions["defaults"]["items"]["anyOf"][1]["properties"]["override /reward"]["anyOf"]
    described = {each["const"]: each["description"] for each in choices if "const" in each}
    assert described["rnd"] == next(each.description for each in FOUND["reward"] if each.name == "rnd")


@pytest.mark.slow
@pytest.mark.parametrize("name", experiment_names())
def test_schema_of_the_whole_config_accepts_every_composed_experiment(schemas: dict[str, Any], name: str) -> None:
    tree = OmegaConf.to_container(compose_config([f"experiment={name}"]), resolve=False)
    assert isinstance(tree, dict)
    assert not list(errors(schemas, "config", tree))


def test_schema_covers_user_classes_and_adds_modelines_on_request(command: Command, tmp_path: Path) -> None:
    (tmp_path / "schema_parts.py").write_text(
        "from pamiq_exp.rewards import Reward\nclass Gold(Reward):\n    def __init__(self, carat: int): ...\n"
    )
    file = tmp_path / "mine" / "reward" / "gold.yaml"
    file.parent.mkdir(parents=True)
    text = "# @package interaction.agent.reward\n# All that glitters.\n_target_: schema_parts.Gold\ncarat: 24\n"
    file.write_text(text)
    words = ["schema", "-o", "schemas", "--config-dir", "mine", "--allow", "schema_parts"]
    assert command(*words).status == 0
    assert file.read_text() == text
    written = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "schemas").glob("*.json")}
    assert not list(errors(written, "reward", loaded(text)))
    assert list(errors(written, "reward", loaded(text.replace("24", "much"))))
    for _ in range(2):  # the second time nothing is left to add
        assert command(*words, "--modelines").status == 0
        header, modeline, *rest = file.read_text().splitlines()
        assert modeline == "# yaml-language-server: $schema=../../schemas/reward.json"
        assert "\n".join([header, *rest]) + "\n" == text
    assert describe_config(file.read_text()) == "All that glitters."


def test_schema_modelines_need_a_config_folder(command: Command) -> None:
    outcome = command("schema", "-o", "schemas", "--modelines")
    assert outcome.status == 2
    assert "add --config-dir FOLDER" in outcome.err
