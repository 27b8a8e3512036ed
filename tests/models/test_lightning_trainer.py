"""Every model also trains under `lightning.Trainer`, on a recorded dataset."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import lightning
import pytest
import torch
from lightning import LightningModule
from torch.utils.data import DataLoader

from pamiq_exp.environments import NoiseWorld, record_random_transitions
from pamiq_exp.models import (
    EnsembleDynamics,
    ForwardDynamics,
    IJepa,
    ImageVae,
    InverseDynamics,
    LatentDecoder,
    MixtureHead,
    NormalHead,
    RandomFeatures,
    RecurrentDynamics,
    ResidualDynamics,
)
from pamiq_exp.models.cores import RecurrentCore, SioConv
from pamiq_exp.spaces import describe_action

SIOCONV = partial(SioConv, heads=2, gain=1.0)

SIDE, FEATURES, STEPS = 32, 64, 8
OBSERVATION = {"image": {"shape": [SIDE, SIDE, 3], "dtype": "uint8"}}
Record = dict[str, Any]


@pytest.fixture(autouse=True)
def one_thread_and_no_chatter() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")


@pytest.fixture(scope="module")
def recorded() -> tuple[list[Record], Any]:
    """Sequences of a walk, and the action space."""
    world = NoiseWorld(noise={"fraction": 0}, num_envs=4, image_size=SIDE, seed=0)
    columns = record_random_transitions(world, turns=64, sequence_length=STEPS, seed=0)
    records = [{name: column[row] for name, column in columns.items()} for row in range(len(columns["action"]))]
    return records, describe_action(world.action_space)


def ready_features(records: list[Record]) -> RandomFeatures:
    encoder = RandomFeatures(OBSERVATION, FEATURES, warmup=10)
    frames = torch.stack([torch.as_tensor(record["observation.image"]) for record in records])
    encoder.training_step({"observation.image": frames}, 0)
    return encoder


def dynamics(network: Any, records: list[Record], **given: Any) -> ForwardDynamics:
    model = ForwardDynamics(network, **given)
    model.attach_models({"encoder": ready_features(records)})
    return model


MODELS: dict[str, Callable[[list[Record], Any], LightningModule]] = {
    "image_vae": lambda records, action: ImageVae(OBSERVATION, features=16, learning_rate=1e-3),
    "icm": lambda records, action: InverseDynamics(OBSERVATION, action, FEATURES),
    "ijepa": lambda records, action: IJepa(
        OBSERVATION,
        64,
        tokens=4,
        token_width=16,
        width=32,
        depth=1,
        predictor_width=16,
        predictor_depth=1,
        min_area=1,
        learning_rate=1e-3,
        warmup=5,
    ),
    "decoder": lambda records, action: attached_decoder(records),
    "residual_normal": lambda records, action: dynamics(
        ResidualDynamics(FEATURES, action, 32, 1, NormalHead), records, horizon=2
    ),
    "residual_mixture": lambda records, action: dynamics(
        ResidualDynamics(FEATURES, action, 32, 1, partial(MixtureHead, components=2)), records
    ),
    "sioconv": lambda records, action: dynamics(
        RecurrentDynamics(FEATURES, action, RecurrentCore(SIOCONV, 32, 1, expansion=2)),
        records,
        burn_in=2,
        horizon=3,
    ),
    "ensemble": lambda records, action: dynamics(
        EnsembleDynamics(lambda: ResidualDynamics(FEATURES, action, 32, 1), 3), records, bootstrap=0.8
    ),
}


def attached_decoder(records: list[Record]) -> LatentDecoder:
    model = LatentDecoder(OBSERVATION, FEATURES, channels=(16, 8))
    model.attach_models({"encoder": ready_features(records)})
    return model


@pytest.mark.parametrize("name", list(MODELS))
def test_models_train_under_lightning_trainer_on_a_recorded_dataset(
    name: str, recorded: tuple[list[Record], Any]
) -> None:
    records, action = recorded
    model = MODELS[name](records, action)

    def loader(shuffle: bool) -> Any:
        if name == "ijepa":
            frames = [{"observation.image": frame} for record in records for frame in record["observation.image"]]
            return DataLoader(frames, 32, shuffle=shuffle)  # type: ignore[arg-type]
        return DataLoader(records, 8, shuffle=shuffle)  # type: ignore[arg-type]

    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=6, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, gradient_clip_val=1.0,
    )  # fmt: skip
    (before,) = trainer.validate(model, loader(False), verbose=False)
    trainer.fit(model, loader(True))
    (after,) = trainer.validate(model, loader(False), verbose=False)
    assert after["held_out_loss"] < before["held_out_loss"]
