"""The origin of a value decides what it may name, in every command."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pamiq_exp.config import AllowList, Composition, ConfigError, Source, compose, compose_again, examine
from tests.conftest import Command

HEADER = "# @package _global_\ndefaults: [minimum, _self_]\n"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """An untrusted config folder, and a user without trusted folders."""
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "sweep").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    return Source(folder="conf")


def write(name: str, text: str) -> None:
    Path("conf", f"{name}.yaml").write_text(text)


def reported(source: Source, *words: str) -> str:
    found = examine(compose(words, source), AllowList(), dry_run=False)
    return "\n".join(map(str, found.errors))


def test_examine_checks_values_of_a_file_after_interpolation(own: Source) -> None:
    for text, key in (
        ("shared: {w: {_target_: pamiq_exp.tracking.WandbTracker, mode: online, upload_media: true}}\n"
         "tracking: {wandb: '${shared.w}'}", "tracking.wandb.mode"),
        ("paths: {outputs: '${oc.select:nokey,/elsewhere}'}", "paths.outputs"),
        ("shared: {w: evil.example}\nenvironment: {kwargs: {host: '${shared.w}'}}", "environment.kwargs.host"),
        ("environment: {_target_: pamiq_exp.environments.PictureFolder, _args_: [/etc]}", "environment._args_[0]"),
        ("shared: {list: [x, /etc]}\nenvironment: {kwargs: {list: '${shared.list}'}}", "environment.kwargs.list[1]"),
        ("environment: {kwargs: {text: \"a line\\n/../x\"}}", "environment.kwargs.text"),
    ):  # fmt: skip
        write("experiment/evil", f"{HEADER}{text}\n")
        assert f"{key}: a config file may not" in reported(own, "experiment=evil")


def test_run_and_check_treat_sweep_file_overrides_as_untrusted(own: Source, command: Command) -> None:
    write("sweep/evil", "experiment: minimum\noverrides: [paths.outputs=/elsewhere]\nseeds: 2\n")
    outcome = command("-m", "sweep=evil", "--config-dir", "conf")
    assert outcome.status == 2
    assert "paths.outputs: a config file may not name a place outside" in outcome.err
    assert "conf/sweep/evil.yaml" in outcome.err
    write("sweep/evil", "experiment: minimum\ngrid: {+environment.kwargs.path: [/etc, here]}\n")
    outcome = command("check", "-m", "sweep=evil", "--config-dir", "conf")
    assert "may not name a place outside" in outcome.err
    assert not Path("outputs").exists()


def test_check_accepts_a_typed_value_over_an_untrusted_sweep_file(
    own: Source, command: Command, tmp_path: Path
) -> None:
    write("sweep/mine", "experiment: minimum\noverrides: [paths.outputs=/elsewhere]\nseeds: 2\n")
    words = ["-m", "sweep=mine", "--config-dir", "conf", f"paths.outputs={tmp_path / 'mine'}"]
    assert command("check", *words).status == 0


def test_compose_again_treats_overrides_of_a_run_folder_as_untrusted(own: Source) -> None:
    files = {file.place: file.option.kept_text for file in compose(["experiment=minimum"]).files}
    kept = Composition("config", ("experiment=minimum", "paths.outputs=/elsewhere"), files)
    again = compose_again(kept, ["seed=3"], file="RUN/composition.yaml")
    errors = "\n".join(map(str, examine(again, AllowList(), dry_run=False).errors))
    assert "paths.outputs: a config file may not name a place outside" in errors
    assert "RUN/composition.yaml" in errors
    typed = compose_again(kept, ["paths.outputs=/elsewhere"], file="RUN/composition.yaml")
    assert examine(typed, AllowList(), dry_run=False).errors == []


@pytest.mark.parametrize("group", ["hydra/sweeper", "hydra/launcher", "hydra/job_logging", "hydra/env"])
def test_compose_refuses_or_ignores_hydra_groups_of_a_config_folder(own: Source, group: str) -> None:
    choice = {"hydra/sweeper": "basic", "hydra/launcher": "basic", "hydra/job_logging": "none"}.get(group, "default")
    for name in (choice, "mine"):
        Path("conf", group).mkdir(parents=True, exist_ok=True)
        Path("conf", group, f"{name}.yaml").write_text(f"# @package {group.replace('/', '.')}\nevil: 1\n")
    with pytest.raises(ConfigError, match="may not be set by a config file"):
        compose(["experiment=minimum", f"{group}=mine"], own)
    write("experiment/evil", f"# @package _global_\ndefaults: [minimum, override /{group}: mine, _self_]\n")
    if group == "hydra/job_logging":  # the shipped config has overridden it already, which wins
        assert "evil" not in compose(["experiment=evil"], own).config.hydra.job_logging
        return
    with pytest.raises(ConfigError, match="hydra"):
        compose(["experiment=evil"], own)


def test_run_and_check_examine_all_experiments_of_a_sweep_before_any_job(own: Source, command: Command) -> None:
    names = [f"e{index}" for index in range(23)]
    for name in names:
        write(f"experiment/{name}", HEADER)
    write("experiment/e22", f"{HEADER}hydra: {{job: {{env_set: {{EVIL: '1'}}}}}}\n")
    for words in (["-m"], ["check", "-m"]):
        outcome = command(*words, f"experiment={','.join(names)}", "--config-dir", "conf", "--no-dry-run")
        assert outcome.status in (1, 2)
        assert "hydra.job.env_set.EVIL: may not be set by a config file" in outcome.err
    assert not Path("outputs").exists()


def test_play_refuses_an_untrusted_path_outside_the_folder(own: Source, command: Command) -> None:
    write("experiment/evil", f"{HEADER}environment: {{kwargs: {{path: /abs/pictures}}}}\n")
    outcome = command("play", "--config-dir", "conf", "experiment=evil")
    assert outcome.status == 2
    assert "environment.kwargs.path: a config file may not name a place outside" in outcome.err


def test_compose_refuses_defaults_that_grow_exponentially(own: Source) -> None:
    for index in range(30):
        below = f"defaults: [f{index + 1}@a, f{index + 1}@b]\n" if index < 29 else "x: 1\n"
        write(f"experiment/f{index}", below)
    with pytest.raises(ConfigError, match="choose one another more than"):
        compose(["experiment=f0"], own)


def test_compose_refuses_a_default_outside_the_config_folder(own: Source, tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text("x: 1\n")
    write("experiment/evil", "# @package _global_\ndefaults: [minimum, /experiment/../../secret, _self_]\n")
    with pytest.raises(ConfigError, match="leads out of the config folder"):
        compose(["experiment=evil"], own)


def test_run_refuses_a_sweep_file_that_asks_for_too_many_processes(own: Source, command: Command) -> None:
    write("sweep/evil", "experiment: minimum\nseeds: 2\nexecutor: {name: joblib, jobs: 100000}\n")
    outcome = command("-m", "sweep=evil", "--config-dir", "conf")
    assert outcome.status == 2
    assert "asks for 100,000 processes" in outcome.err


@pytest.mark.slow
def test_check_refuses_a_model_with_very_many_layers(own: Source, command: Command) -> None:
    layer = "{_target_: torch.nn.TransformerEncoderLayer, d_model: 4, nhead: 1, dim_feedforward: 4}"
    model = f"{{_target_: torch.nn.TransformerEncoder, encoder_layer: {layer}, num_layers: 100000}}"
    write("experiment/evil", f"{HEADER}models: {{huge: {model}}}\n")
    outcome = command("check", "--config-dir", "conf", "experiment=evil")
    assert outcome.status == 1
    assert "tensors" in outcome.err or "launcher.max_parameters" in outcome.err


def test_examine_accepts_a_yaml_merge_key(own: Source) -> None:
    target = "pamiq_exp.environments.gymnasium_environment"
    text = f"shared: {{base: &base {{num_envs: 2}}}}\nenvironment:\n  <<: *base\n  _target_: {target}\n"
    write("experiment/mine", f"{HEADER}{text}")
    assert reported(own, "experiment=mine") == ""


def test_examine_reports_a_file_without_a_package_header(own: Source) -> None:
    write("experiment/mine", "defaults: [minimum, _self_]\nexperiment_name: mine\n")
    assert "begin the file with the line: # @package _global_" in reported(own, "experiment=mine")
    write("experiment/mine", f"\ufeff{HEADER}experiment_name: mine\n")
    assert reported(own, "experiment=mine") == ""


def test_compose_searches_both_a_typed_search_path_and_the_config_folder(own: Source, tmp_path: Path) -> None:
    other = tmp_path / 'ot"her, one'
    (other / "experiment").mkdir(parents=True)
    (other / "experiment" / "there.yaml").write_text(HEADER)
    write("experiment/here", HEADER)
    path = str(other).replace('"', '\\"')
    for name in ("here", "there"):
        assert compose([f"experiment={name}", f'hydra.searchpath=["file://{path}"]'], own).tree["seed"] == 0


def test_plain_file_keeps_number_like_strings_as_strings(tmp_path: Path) -> None:
    from pamiq_exp.analysis.exported_file import to_yaml
    from pamiq_exp.config import plain_file
    from pamiq_exp.run_folder import RunFolder

    odd = {"a": "12e5", "b": "1_000", "c": "0x1f", "d": "1.5", "e": "yes", "f": "null", "g": "1e-3", "h": ".5e3"}
    folder = RunFolder(tmp_path / "run")
    folder.write_config(odd, [])
    assert (
        plain_file(tmp_path / "run" / "config.yaml") == odd == yaml.safe_load((folder.path / "config.yaml").read_text())
    )
    (tmp_path / "paper.yaml").write_text(to_yaml({"config": odd}, "paper.yaml"))
    assert plain_file(tmp_path / "paper.yaml") == {"config": odd}


@pytest.mark.parametrize("word", ["outputs", "rgb_array"])
def test_examine_refuses_a_link_only_for_keys_that_name_paths(own: Source, tmp_path: Path, word: str) -> None:
    (tmp_path.parent / "disk").mkdir(exist_ok=True)
    Path(word).symlink_to(tmp_path.parent / "disk")
    write(
        "experiment/mine",
        f"{HEADER}environment: {{kwargs: {{render_mode: {word}, {word}: 1, list: [{word}]}}}}\n"
        "paths: {outputs: outputs}\n",
    )
    assert "a link out of the current folder" not in reported(own, "experiment=mine")
    for key in ("path", "data_dir", "weights", "map"):
        write("experiment/mine", f"{HEADER}environment: {{kwargs: {{{key}: {word}}}}}\n")
        assert f"environment.kwargs.{key}: a config file may not name a link" in reported(own, "experiment=mine")


def test_examine_refuses_a_protocol_as_camera_source(own: Source) -> None:
    files = ("concat:/etc/passwd|b", "concat:a|b")
    for source in ("async:http://127.0.0.2:8077/x", "rtsp:127.0.0.2", "rtsp://h/x", *files):
        write("experiment/evil", f"{HEADER}environment: {{kwargs: {{source: '{source}'}}}}\n")
        errors = reported(own, "experiment=evil")
        assert "environment.kwargs.source: a config file may not name an address" in errors, source
