"""Records of an untrusted config stay on the machine until the user puts W&B online."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wandb

from pamiq_exp.config import AllowList, Builder, ConfigError, ErrorDetail, Source, compose, examine
from pamiq_exp.environments import DelayedActions
from pamiq_exp.interaction import Environment
from pamiq_exp.jobs.job import is_private
from pamiq_exp.jobs.online import keep_offline
from pamiq_exp.media import Picture
from pamiq_exp.tracking import RunInfo, WandbTracker
from tests.conftest import REPOSITORY, Command

UNTRUSTED = "# @package _global_\ndefaults: [minimum, override /tracking: default, _self_]\n"


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    """A user who is logged in to W&B and has an untrusted config folder."""
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "foreign.yaml").write_text(f"{UNTRUSTED}seed: 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "")
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    wandb.teardown()
    yield Source(folder="conf")
    wandb.teardown()  # W&B's client remembers the key for as long as the process lives


def test_keep_offline_leaves_wandb_mode_unchanged_for_shipped_configs(user: Source) -> None:
    keep_offline([compose(["experiment=minimum", "tracking=default", "seed=4"], user)], online=False)
    assert os.environ["WANDB_MODE"] == ""


def test_keep_offline_sets_offline_for_an_untrusted_config_and_reports_it(
    user: Source, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_offline([compose(["experiment=foreign"], user)], online=False)
    assert os.environ["WANDB_MODE"] == "offline"
    printed = capsys.readouterr().err
    assert "conf/experiment/foreign.yaml did not come with pamiq_exp" in printed
    assert "--online" in printed


def test_keep_offline_sets_offline_for_an_untrusted_file_with_defaults_only(user: Source, tmp_path: Path) -> None:
    (tmp_path / "conf" / "experiment" / "foreign.yaml").write_text(UNTRUSTED)
    keep_offline([compose(["experiment=foreign"], user)], online=False)
    assert os.environ["WANDB_MODE"] == "offline"


@pytest.mark.parametrize(("online", "variable"), [(True, ""), (False, "online"), (False, "disabled")])
def test_keep_offline_respects_the_online_flag_and_wandb_mode(
    user: Source, monkeypatch: pytest.MonkeyPatch, online: bool, variable: str
) -> None:
    monkeypatch.setenv("WANDB_MODE", variable)
    keep_offline([compose(["experiment=foreign"], user)], online)
    assert os.environ["WANDB_MODE"] == variable


def test_keep_offline_refuses_an_unknown_wandb_mode(user: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "onlin")
    with pytest.raises(ConfigError, match="WANDB_MODE is 'onlin'; set it to one of online, run, offline"):
        keep_offline([], online=False)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [("mode", "online", "put W&B online"), ("upload_media", "true", "send pictures to W&B"),
     ("upload_media", "${shared.yes}", "send pictures to W&B"), ("mode", "${shared.mode}", "put W&B online")],
)  # fmt: skip
def test_check_refuses_wandb_uploads_set_by_a_file_but_accepts_typed_ones(
    command: Command, user: Source, tmp_path: Path, key: str, value: str, expected: str
) -> None:
    text = f"{UNTRUSTED}shared: {{yes: true, mode: online}}\ntracking: {{wandb: {{{key}: '{value}'}}}}\n"
    (tmp_path / "conf" / "experiment" / "foreign.yaml").write_text(text.replace("'true'", "true"))
    outcome = command("check", "experiment=foreign", "--config-dir", "conf")
    assert outcome.status == 1
    assert f"tracking.wandb.{key}: a config file may not {expected}" in outcome.err
    assert "conf/experiment/foreign.yaml:" in outcome.err
    (tmp_path / "conf" / "experiment" / "foreign.yaml").write_text(UNTRUSTED)
    typed = value.replace("${shared.yes}", "true").replace("${shared.mode}", "online")
    assert command("check", "experiment=foreign", "--config-dir", "conf", f"tracking.wandb.{key}={typed}").status == 0


@pytest.mark.parametrize("key", ["base_url", "entity", "save_code", "host", "settings"])
def test_check_refuses_wandb_address_and_account_settings_in_a_file(
    command: Command, user: Source, tmp_path: Path, key: str
) -> None:
    (tmp_path / "conf" / "experiment" / "foreign.yaml").write_text(f"{UNTRUSTED}tracking: {{wandb: {{{key}: evil}}}}\n")
    outcome = command("check", "experiment=foreign", "--config-dir", "conf")
    assert outcome.status == 1
    assert f"tracking.wandb.{key}: " in outcome.err


def test_check_refuses_a_network_address_for_an_avatar_in_a_file(
    command: Command, user: Source, tmp_path: Path
) -> None:
    text = "# @package _global_\ndefaults: [vrchat_curiosity, _self_]\n"
    text += "environment: {actuators: {avatar: {host: evil.example}}}"
    (tmp_path / "conf" / "experiment" / "foreign.yaml").write_text(text)
    outcome = command("check", "experiment=foreign", "--config-dir", "conf")
    assert outcome.status == 1
    assert "environment.actuators.avatar.host: a config file may not name an address on the network" in outcome.err


PAGE = "{_target_: pamiq_exp.tracking.DashboardTracker}"


@pytest.mark.parametrize(
    ("choice", "tracking", "refused"),
    [
        ("dashboard", "{}", None),
        ("dashboard", "{dashboard: {port: 9000}}", None),
        ("dashboard", "{dashboard: {control: true}}", "dashboard.control: a config file may not let a page control"),
        ("dashboard", "{dashboard: {browser: true}}", "dashboard.browser: a config file may not open a browser"),
        ("terminal", f"{{page: {PAGE}}}", "page._target_: a config file may not start the page of a run"),
    ],
)
def test_examine_accepts_the_shipped_dashboard_but_no_more_rights_from_a_file(
    user: Source, tmp_path: Path, choice: str, tracking: str, refused: str | None
) -> None:
    text = f"# @package _global_\ndefaults: [minimum, override /tracking: {choice}, _self_]\ntracking: {tracking}\n"
    (tmp_path / "conf" / "experiment" / "foreign.yaml").write_text(text)
    errors = [str(each) for each in validation_errors(["experiment=foreign"], user)]
    assert len(errors) == (refused is not None)
    assert refused is None or f"tracking.{refused}" in errors[0]


def test_examine_accepts_typed_dashboard_rights(user: Source) -> None:
    words = ["experiment=foreign", "tracking=dashboard", "tracking.dashboard.control=true"]
    assert not validation_errors(words, user)


def validation_errors(words: list[str], source: Source) -> list[ErrorDetail]:
    return examine(compose(words, source), AllowList(), dry_run=False).errors


def test_check_and_run_ignore_the_hydra_allowlist_variable(
    command: Command, user: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYDRA_INSTANTIATE_ALLOWLIST_OVERRIDE", "os.system")
    text = f"{UNTRUSTED}metrics: {{evil: {{_target_: os.system, _args_: [touch marker]}}}}\n"
    (tmp_path / "conf" / "experiment" / "foreign.yaml").write_text(text)
    for words, status in ((["check"], 1), ([], 2)):
        outcome = command(*words, "experiment=foreign", "--config-dir", "conf")
        assert outcome.status == status
        assert "a config may not name os.system" in outcome.err
    assert not (tmp_path / "marker").exists()


def test_check_and_run_without_wandb_make_no_connection(
    command: Command, user: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise AssertionError(f"a connection to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    words = ["experiment=foreign", "--config-dir", "conf", "launcher.max_steps=20", "launcher=lockstep"]
    assert command("check", *words).status == 0
    outcome = command(*words, "tracking=jsonl_only")
    assert outcome.status == 0, outcome.err


class Server:
    """Counts who calls, and hangs up."""

    def __init__(self) -> None:
        self.calls = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.calls += 1
            connection.close()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("flags", [[], ["--online"]])
def test_run_of_an_untrusted_config_connects_to_wandb_only_with_online(
    user: Source, tmp_path: Path, server: Server, flags: list[str]
) -> None:
    environment = {**os.environ, "WANDB_BASE_URL": server.address, "PYTHONPATH": str(REPOSITORY)}
    del environment["WANDB_MODE"]
    environment.pop("WANDB_SERVICE", None)
    words = ["experiment=foreign", "launcher.max_steps=20", "launcher=lockstep", "tracking.video=null"]
    done = subprocess.run(
        [sys.executable, "-m", "pamiq_exp", *words, "--config-dir", "conf", *flags],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=350, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert bool(server.calls) == bool(flags)
    assert list(tmp_path.rglob("offline-run-*/*.wandb"))
    assert ("W&B stays offline" in done.stderr) == (not flags)


class Client:
    """A run of W&B that keeps what is logged."""

    url = None

    def __init__(self) -> None:
        self.logged: list[dict[str, Any]] = []

    def log(self, row: dict[str, Any]) -> None:
        self.logged.append(row)

    def define_metric(self, *_: object, **__: object) -> None: ...


@pytest.mark.parametrize(
    ("private", "upload_media", "sent"),
    [(False, None, True), (True, None, False), (True, True, True), (False, False, False), (True, False, False)],
)
def test_wandb_tracker_uploads_private_pictures_only_if_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, private: bool, upload_media: bool | None, sent: bool
) -> None:
    import wandb

    client = Client()
    monkeypatch.setattr(wandb, "init", lambda **_: client)
    monkeypatch.setattr(wandb, "Image", lambda path: f"picture {path}")
    tracker = WandbTracker(mode="offline", upload_media=upload_media)
    tracker.start(RunInfo(tmp_path, "run", "experiment", seed=0, private=private))
    tracker.write({"source": "interaction", "environment_step": 1})
    tracker.media(Picture("view", np.zeros((2, 2, 3), dtype=np.uint8)), tmp_path / "view.png", 1)
    assert any("media/view" in row for row in client.logged) == sent
    assert {"environment_step": 1} in client.logged


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from PIL import Image

    folder = tmp_path_factory.mktemp("pictures")
    for index in range(4):
        Image.new("RGB", (8, 8), (index, 0, 0)).save(folder / f"{index}.png")
    return folder


ROOM = "pamiq_exp.environments"
WORLDS: dict[str, tuple[dict[str, Any], bool]] = {
    "painted dishes": ({"_target_": f"{ROOM}.NoiseWorld"}, False),
    "pictures on walls": (
        {"_target_": f"{ROOM}.NoiseWorld", "noise": {"pool": 4}, "images": {"source": "folder", "path": "HERE"}},
        True,
    ),
    "pictures": ({"_target_": f"{ROOM}.PictureFolder", "path": "HERE"}, True),
    "a camera": (
        {"_target_": f"{ROOM}.SensorEnvironment", "sensors": {"image": {"_target_": f"{ROOM}.Camera"}},
         "actuators": {"avatar": {"_target_": f"{ROOM}.VRChatAvatar"}}},
        True,
    ),
    "Gymnasium": ({"_target_": f"{ROOM}.GymnasiumEnvironment", "id": "CartPole-v1"}, False),
}  # fmt: skip


def test_is_private_detects_environments_that_show_data_of_the_user(pictures: Path) -> None:
    for name, (node, expected) in WORLDS.items():
        environment: Environment = Builder(AllowList()).build(_at(node, str(pictures)), "environment")
        assert is_private(environment) == expected, name
        assert is_private(DelayedActions(environment, steps=1)) == expected, f"delayed {name}"


def test_is_private_detects_pictures_of_the_user_on_a_noisy_tv(pictures: Path) -> None:
    for path, expected in ((None, False), (str(pictures), True)):
        television = {"_target_": f"{ROOM}.NoisyTV", "_partial_": True, "path": path, "pool": 4}
        node = {"_target_": f"{ROOM}.GymnasiumEnvironment", "id": "CartPole-v1", "render_as_observation": True}
        environment = Builder(AllowList()).build({**node, "overlays": [television]}, "environment")
        assert is_private(environment) == expected
        environment.teardown()


def _at(node: Any, folder: str) -> Any:
    if isinstance(node, dict):
        return {name: _at(value, folder) for name, value in node.items()}
    return folder if node == "HERE" else node


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("WANDB_API_KEY", "short", "WANDB_API_KEY invalid: API key must have 40+ characters, has 5"),
        ("WANDB_API_KEY", "a b" * 20, "WANDB_API_KEY invalid: API key may only contain"),
        ("WANDB_API_KEY", "k" * 40 + "\n", "API key cannot start or end with whitespace"),
        ("WANDB_BASE_URL", "nonsense", "WANDB_BASE_URL is 'nonsense': Input should be a valid URL"),
    ],
)
@pytest.mark.parametrize("experiment", ["minimum", "foreign"])
def test_keep_offline_refuses_malformed_wandb_settings(
    user: Source, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str, experiment: str
) -> None:
    monkeypatch.setenv(variable, value)
    config = compose([f"experiment={experiment}", "tracking=default"], user)
    with pytest.raises(ConfigError, match=re.escape(expected)) as refused:
        keep_offline([config], online=False)
    assert "correct or remove this setting of W&B" in str(refused.value)


def test_keep_offline_ignores_malformed_settings_when_wandb_is_offline_or_unused(
    user: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "short")
    keep_offline([compose(["experiment=minimum", "tracking=terminal"], user)], online=False)
    keep_offline([compose(["experiment=minimum", "tracking=default", "tracking.wandb.mode=offline"], user)], False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    keep_offline([compose(["experiment=minimum", "tracking=default"], user)], online=False)
