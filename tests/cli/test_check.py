"""`check`: all errors of a config at once, with their keys, and the resources that a run would take."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import Command

HEAVY = ("torch", "lightning", "lightning_fabric", "gymnasium", "numba", "wandb", "matplotlib")

SMALL = """\
# @package _global_
defaults:
  - override /environment: gymnasium
  - override /interaction: unpaced
  - override /agent: curiosity
  - override /tracking: jsonl_only
experiment_name: small
"""
"""A curious agent in a small environment, which is quick to build."""

PARTS = ["encoder=random_features", "dynamics=mlp", "policy=ppo", "reward=prediction_error"]

MISTAKES = """\
# @package _global_
defaults:
  - small
  - _self_
experiment_name: mistakes
launcher:
  max_step: 5
  overrun: never
trainers:
  dynamics:
    buffer: replai
models:
  encoder:
    featurs: 64
    channels: many
  dynamics:
    network:
      width: wide
shared:
  lost: 3
interaction:
  agent:
    encoder: ${models.missing}
"""


@pytest.fixture
def small(tmp_path: Path) -> list[str]:
    """The words of a command line for a config without errors."""
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "small.yaml").write_text(SMALL)
    return ["--config-dir", str(tmp_path / "conf"), "experiment=small", *PARTS]


@pytest.fixture
def mistakes(small: list[str], tmp_path: Path) -> list[str]:
    """The words of a command line for a config with many errors."""
    (tmp_path / "conf" / "experiment" / "mistakes.yaml").write_text(MISTAKES)
    return [*small[: -len(PARTS) - 1], "experiment=mistakes", *PARTS]


def python(code: str, *words: str, folder: Path) -> str:
    """Run code in a process of its own, with words as its command line."""
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=folder, capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout


def test_check_reports_all_errors_at_once_with_file_line_and_hint(command: Command, mistakes: list[str]) -> None:
    outcome = command("check", *mistakes, "sede=3", "seed=x")
    assert outcome.status == 1
    assert "Traceback" not in outcome.err
    lines = {number: text.strip() for number, text in enumerate(MISTAKES.splitlines(), 1)}
    file = "conf/experiment/mistakes.yaml"
    for number, key, words in [
        (7, "launcher.max_step: there is no such key", "did you mean max_steps"),
        (8, "launcher.overrun: expected one of catch_up, skip, not 'never'", ""),
        (11, "trainers.dynamics.buffer: there is no buffer 'replai'", "did you mean replay?"),
        (14, "models.encoder.featurs: RandomFeatures takes no argument 'featurs'", "did you mean features?"),
        (15, "models.encoder.channels: expected a list, not 'many'", ""),
        (18, "models.dynamics.network.width: expected a whole number, not 'wide'", ""),
        (20, "shared.lost: nothing reads it", "leave it out"),
        (23, "interaction.agent.encoder: ${models.missing} leads nowhere", "models has"),
    ]:
        assert key.split(":")[0].rpartition(".")[2] in lines[number]
        message = outcome.err[outcome.err.index(key) :]
        assert words in message
        assert any(line.endswith(f"{file}:{number}") for line in message.splitlines()[1:3])
    assert "sede: there is no such key or group" in outcome.err
    assert "at command line: sede=3" in outcome.err
    assert "seed: expected a whole number, not 'x'" in outcome.err
    assert "at command line: seed=x" in outcome.err


@pytest.mark.parametrize("words", [["check"], []], ids=["check", "run"])
def test_check_and_run_report_config_errors_before_importing_torch(
    tmp_path: Path, repository: Path, words: list[str]
) -> None:
    code = (
        "import sys; from pamiq_exp.cli import main; status = main(sys.argv[1:])\n"
        f"print(status, [name for name in {HEAVY} if name in sys.modules])"
    )
    code = f"import sys; sys.path.insert(0, {str(repository)!r})\n{code}"
    refused = [*words, "experiment=pamiq2024", "environment._target_=os.system", "launcher.max_steps=-1"]
    assert python(code, *refused, folder=tmp_path).split("\n")[-2] == f"{1 if words else 2} []"
    if not words:
        invalid = ["experiment=pamiq2024", "trainers.dynamics.model=dynamic", "launcher.max_steps=many"]
        assert python(code, *invalid, folder=tmp_path).split("\n")[-2] == "2 []"


def test_check_imports_only_what_the_config_names(tmp_path: Path, repository: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(repository)!r})\n"
        "from pamiq_exp.cli import main; main(sys.argv[1:])\n"
        "print([name for name in ('numba', 'wandb', 'matplotlib', 'pamiq_exp.environments.noise_world', "
        "'pamiq_exp.models', 'ale_py') if name in sys.modules])"
    )
    out = python(code, "check", "experiment=minimum", "tracking=jsonl_only", folder=tmp_path)
    assert "no errors found" in out
    assert "numba" not in out.splitlines()[-1]
    assert "noise_world" not in out.splitlines()[-1]
    assert "wandb" not in out.splitlines()[-1]


def test_check_prints_parameters_buffers_memory_and_checkpoint_size(command: Command) -> None:
    outcome = command("check", "experiment=cartpole_ppo")
    assert outcome.status == 0, outcome.err
    assert outcome.out.startswith("no errors found\n")
    assert "parameters  " in outcome.out
    assert "buffers     " in outcome.out
    assert "memory      " in outcome.out
    assert "checkpoint  " in outcome.out


def test_check_refuses_too_many_parameters_before_allocating_them(command: Command, small: list[str]) -> None:
    words = [*small, "models.policy.network.hidden=[400000,400000]"]
    outcome = command("check", *words)
    assert outcome.status == 1
    assert "models.policy: has 16" in outcome.err
    assert "launcher.max_parameters is 1,000,000,000" in outcome.err


def test_check_reports_a_size_mismatch_with_both_keys(command: Command, small: list[str]) -> None:
    words = [*small, "models.dynamics.network.features=64"]
    outcome = command("check", *words)
    assert outcome.status == 1
    assert "models.dynamics.network.features: is 64, models.encoder gives 128" in outcome.err
    assert "at command line: models.dynamics.network.features=64" in outcome.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["interaction.agent.encoder=encode"], "interaction.agent.encoder: there is no model 'encode'"),
        (["interaction.agent.policy=polcy"], "interaction.agent.policy: there is no model 'polcy'"),
        (["interaction.agent.reward.dynamics=x"], "interaction.agent.reward.dynamics: there is no model 'x'"),
        (["models.dynamics.encoder=x"], "models.dynamics.encoder: "),
        (["+buffers.replay.fields.mood={shape: [], dtype: float32}"], "mood"),
        (["+buffers.spare=${buffers.replay}"], "buffers.spare: nothing uses it"),
        (["+models.spare=${models.encoder}"], "models.spare: nothing uses it"),
        (["trainers.policy.rollout_steps=0"], "trainers.policy: "),
        (["trainers.dynamics.batch_size=-1", "models.encoder.warmup=1"], "trainers.dynamics: "),
        (["trainers.dynamics.learning_starts=100000"], "trainers.dynamics: this trainer would never start"),
        (["environment.num_envs=0"], "environment"),
        (["launcher.device=tpu"], "launcher.device: must be one of"),
    ],
)
def test_check_reports_each_dry_run_error_with_its_key(
    command: Command, small: list[str], words: list[str], expected: str
) -> None:
    outcome = command("check", *small, *words)
    assert outcome.status == 1
    assert expected in outcome.err
    assert "Traceback" not in outcome.err


def test_check_reports_all_unknown_model_names_at_once(command: Command, small: list[str]) -> None:
    agent = ["interaction.agent.encoder=encode", "interaction.agent.policy=polcy"]
    outcome = command("check", *small, *agent, "interaction.agent.reward.dynamics=x", "models.dynamics.encoder=y")
    assert outcome.status == 1
    for message in (
        "interaction.agent.encoder: there is no model 'encode'",
        "interaction.agent.policy: there is no model 'polcy'",
        "interaction.agent.reward.dynamics: there is no model 'x'",
        "models.dynamics.encoder: there is no model 'y'",
    ):
        assert outcome.err.count(message) == 1, outcome.err


def test_check_reports_which_configs_of_a_sweep_had_a_dry_run(command: Command, tmp_path: Path) -> None:
    words = ["-m", "experiment=minimum", "seed=range(50)", "launcher=realtime,lockstep"]
    outcome = command("check", *words)
    assert outcome.status == 0, outcome.err
    assert "2 of the configs of this sweep were tried in a dry run, every choice of each key once" in outcome.out
    outcome = command("check", *words, "launcher.record_every_steps=range(1,30)")
    assert "but for 9, which their jobs will check: launcher.record_every_steps=21, " in outcome.out
    wrong = command("check", "-m", "experiment=minimum", "environment.num_envs=1,2,3,4,5,6,0")
    assert wrong.status == 1
    assert "environment" in wrong.err


def test_check_reports_errors_of_several_constructors_together(command: Command, small: list[str]) -> None:
    outcome = command("check", *small, "trainers.dynamics.batch_size=-1", "models.encoder.warmup=1")
    assert "trainers.dynamics: " in outcome.err
    assert "models.encoder: warmup must be at least 2" in outcome.err


def test_check_reports_parts_of_the_wrong_type(command: Command, small: list[str]) -> None:
    wrong = "+trainers.wrong={_target_: pamiq_exp.rewards.Extrinsic}"
    outcome = command("check", *small, "+models.word=hello", wrong)
    assert outcome.status == 1
    assert "models.word: expected a LightningModule, not str" in outcome.err
    assert "trainers.wrong: expected a Trainer, not Extrinsic" in outcome.err


def test_check_dry_run_leaves_no_files_and_restores_random_states(
    command: Command, small: list[str], tmp_path: Path
) -> None:
    files = sorted(tmp_path.rglob("*"))
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.random(), torch.rand(1)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    assert command("check", *small).status == 0
    assert (random.random(), np.random.random(), torch.rand(1)) == expected
    assert torch.is_grad_enabled()
    assert [path for path in sorted(tmp_path.rglob("*")) if path.is_file() and path not in files] == []


def test_check_runs_nothing_and_reports_an_unknown_argument_of_the_users_class(
    command: Command, doll: list[str], tmp_path: Path
) -> None:
    assert command("check", *doll).status == 0
    outcome = command("check", *doll, "+interaction.agent.sede=1")
    assert outcome.status == 1
    assert "interaction.agent.sede: Doll takes no argument 'sede'" in outcome.err
    assert not list(tmp_path.rglob("manifest.json"))


def test_check_origins_prints_what_set_each_value(command: Command, repository: Path) -> None:
    outcome = command("check", "--origins", "experiment=cartpole_ppo", "seed=3", "launcher.device=auto")
    assert outcome.status == 0
    lines = [line for line in outcome.out.splitlines() if "#" in line]
    origins = {line.split("#")[0].strip(): line.split("#")[1].strip() for line in lines}
    assert origins["seed: 3"] == "command line: seed=3"
    assert origins["device: auto"] == "command line: launcher.device=auto"
    text = (repository / "conf" / "experiment" / "cartpole_ppo.yaml").read_text().splitlines()
    line = next(number for number, each in enumerate(text, 1) if "max_steps:" in each)
    assert origins["max_steps: 100000"].endswith(f"conf/experiment/cartpole_ppo.yaml:{line} (shipped)")
    assert origins["overrun: catch_up"].partition(":")[0].endswith("conf/launcher/realtime.yaml")


def test_check_does_not_print_secrets(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "secret-0123456789")
    for words in (["--origins"], []):
        outcome = command("check", *words, "experiment=minimum", "+shared.api_key=secret-0123456789", "+paths.x=1")
        assert "secret-0123456789" not in outcome.out + outcome.err


@pytest.mark.slow
def test_check_takes_little_cpu_time_compared_with_importing_torch(tmp_path: Path, repository: Path) -> None:
    code = (
        f"import sys, time; sys.path.insert(0, {str(repository)!r})\n"
        "start = time.process_time(); import torch, lightning; imports = time.process_time() - start\n"
        "import pamiq_exp.agents, pamiq_exp.trainers, pamiq_exp.runtime.launcher, pamiq_exp.environments.noise_world\n"
        "from pamiq_exp.cli import main; torch.set_num_threads(1)\n"
        "start = time.process_time(); status = main(sys.argv[1:]); print(status, imports, time.process_time() - start)"
    )
    out = python(code, "check", "experiment=pamiq2024", folder=tmp_path)
    status, imports, check = map(float, out.splitlines()[-1].split())
    assert status == 0
    assert check < max(1.0, 0.45 * imports)


def test_check_warns_of_a_setting_without_effect_in_the_mode(command: Command, small: list[str]) -> None:
    outcome = command("check", *small, "launcher=lockstep", "launcher.overrun=skip")
    assert outcome.status == 0, outcome.err
    assert "launcher.overrun: has no effect in mode lockstep" in outcome.out
    assert "leave it out, or choose realtime" in outcome.out
    shipped = command("check", "--no-dry-run", "experiment=pamiq2024", "launcher=lockstep")
    assert "\n  " not in shipped.out, "the experiment set it, not the user"


def test_check_help_describes_the_command_and_its_options(command: Command) -> None:
    outcome = command("check", "--help")
    assert outcome.status == 0
    assert "Report all errors of a config" in outcome.out
    assert "--origins" in outcome.out


def test_cli_help_does_not_list_the_parents_group(command: Command) -> None:
    assert "_parents" not in command("--help").out
