"""Each encoder, dynamics and core that is shipped runs in the curious agent, chosen by one override."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command

CURIOUS = (
    "experiment=pamiq2024",
    "agent=curiosity",
    "launcher.mode=lockstep",
    "launcher.max_steps=320",
    "launcher.record_every_steps=100",
    "launcher.checkpoint.at_end=false",
    "tracking=jsonl_only",
    "metrics=none",
    "trainers.policy.rollout_steps=16",
    "trainers.dynamics.learning_starts=100",
    "trainers.dynamics.held_out.turns=32",
)
CARTPOLE = ("environment=gymnasium", "environment.id=CartPole-v1")
SMALL_WORLD = ("world=clean", "environment.image_size=32")
FEATURES_SOON = (
    "models.encoder.warmup=100",
    "trainers.encoder.train_every=100",
    "trainers.encoder.learning_starts=100",
)
ENCODER_SOON = ("trainers.encoder.learning_starts=100", "trainers.encoder.held_out.turns=16")

CORES = ("gru", "qgru", "qlstm", "sioconv", "sioconv_ps")
DYNAMICS = ("ensemble", "mixture", "mlp", "normal", *(f"recurrent core={core}" for core in CORES))


def run(command: Command, folder: Path, *words: str) -> dict[str, Any]:
    outcome = command(*CURIOUS, f"hydra.run.dir={folder}", *words)
    assert outcome.status == 0, outcome.err
    return dict(json.loads((folder / "summary.json").read_text()))


@pytest.mark.slow
@pytest.mark.parametrize("name", DYNAMICS)
def test_model_choice_of_each_dynamics_learns_in_the_agent(command: Command, tmp_path: Path, name: str) -> None:
    summary = run(command, tmp_path / "run", *f"dynamics={name}".split(), *CARTPOLE, *FEATURES_SOON)
    assert summary["dynamics_loss_last"] < summary["dynamics_loss_first"]


def test_model_choice_of_recurrent_dynamics_learns_to_predict_several_steps(command: Command, tmp_path: Path) -> None:
    words = ("dynamics=recurrent", "models.dynamics.horizon=3", *CARTPOLE, *FEATURES_SOON)
    summary = run(command, tmp_path / "run", *words)
    assert summary["dynamics_loss_last"] < summary["dynamics_loss_first"]
    assert "dynamics/loss_3_ahead" in (tmp_path / "run" / "metrics.jsonl").read_text()


@pytest.mark.slow
def test_model_choice_of_the_icm_encoder_learns_in_the_agent(command: Command, tmp_path: Path) -> None:
    summary = run(command, tmp_path / "run", "encoder=icm", *CARTPOLE, *ENCODER_SOON)
    assert summary["encoder_loss_last"] < summary["encoder_loss_first"]
    assert "dynamics_loss_last" in summary


@pytest.mark.slow
def test_model_choice_of_the_icm_encoder_reads_images(command: Command, tmp_path: Path) -> None:
    summary = run(command, tmp_path / "run", "encoder=icm", *SMALL_WORLD, *ENCODER_SOON)
    assert summary["encoder_loss_last"] != summary["encoder_loss_first"]
    lines = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    trained = [record for record in lines if record["source"] == "encoder"]
    assert len(trained) > 5
    assert all(record["encoder/gradient_norm"] > 0 for record in trained)
    assert all(0 < record["encoder/action_accuracy"] < 1 for record in trained)


@pytest.mark.parametrize("dynamics", ["mlp", pytest.param("sioconv", marks=pytest.mark.slow)])
def test_model_choice_of_ijepa_learns_together_with_a_decoder(command: Command, tmp_path: Path, dynamics: str) -> None:
    words = (
        "encoder=ijepa",
        f"dynamics={dynamics}",
        "decoder=latent_decoder",
        "models.encoder.min_area=1",
        "models.encoder.depth=1",
        "models.encoder.warmup=5",
        "trainers.decoder.learning_starts=100",
        "trainers.decoder.pictures_every=3",
        "trainers.decoder.held_out.turns=16",
        "trainers.decoder.held_out.sequence_length=8",
    )
    summary = run(command, tmp_path / "run", *words, *SMALL_WORLD, *ENCODER_SOON)
    assert summary["encoder_loss_last"] < summary["encoder_loss_first"]
    assert summary["decoder_loss_last"] < summary["decoder_loss_first"]
    names = {path.suffix for path in (tmp_path / "run" / "media").rglob("*reconstruction*")}
    assert ".png" in names
    assert names - {".png"}, "a film beside the pictures"
