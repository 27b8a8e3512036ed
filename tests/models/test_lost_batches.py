"""A batch that is not finite is skipped by every model: statistics and copies are those of a run without it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping

import pytest
import torch
from lightning import LightningModule
from lightning.fabric import Fabric
from torch import Tensor

from pamiq_exp import models, rewards
from pamiq_exp.lightning_loop import GradientSettings, LightningDriver, NonFiniteError
from pamiq_exp.models.cores import QLstm, RecurrentCore
from pamiq_exp.spaces import ActionSpec

ROWS, LENGTH, SIZE, FEATURES = 6, 5, 4, 8
ACTION: ActionSpec = {"kind": "multi_discrete", "shape": [2], "dtype": "int64", "nvec": [3, 2]}
VECTOR: Mapping[str, object] = {"vector": {"shape": [SIZE], "dtype": "float32"}}
IMAGE: Mapping[str, object] = {"image": {"shape": [16, 16, 3], "dtype": "float32"}}
Make = Callable[[], LightningModule]


def attached(module: LightningModule, **others: LightningModule) -> LightningModule:
    encoder = models.PlainFeatures({"vector": {"shape": [FEATURES], "dtype": "float32"}}, warmup=2)
    encoder.training_step({"observation.vector": torch.randn(8, FEATURES)}, 0)
    dynamics = models.ForwardDynamics(models.ResidualDynamics(FEATURES, ACTION, 8, 1))
    run = {"encoder": encoder, "dynamics": dynamics, **others}
    for each in (*others.values(), module):
        if hasattr(each, "attach_models"):
            each.attach_models(run)
    return module


def policy_network() -> models.PolicyValueNetwork:
    return models.PolicyValueNetwork({"observation": VECTOR}, ACTION, hidden=(8,))


def recurrent() -> models.ActorCritic:
    core = RecurrentCore(QLstm, width=8, depth=1, expansion=1)
    return models.ActorCritic(models.RecurrentPolicyValue({"observation": VECTOR}, ACTION, core))


def ensemble() -> models.EnsembleDynamics:
    head = lambda width, features: models.NormalHead(width, features)  # noqa: E731
    return models.EnsembleDynamics(lambda: models.ResidualDynamics(FEATURES, ACTION, 8, 1, head), 3)


def dynamics(head: Callable[[int, int], models.PredictionHead] | None = None) -> models.ResidualDynamics:
    return models.ResidualDynamics(FEATURES, ACTION, 8, 1, head)


def outcome() -> models.RewardHeads:
    return models.RewardHeads(models.RewardHeadsNetwork(FEATURES, ACTION, (8,)), reward="prediction_error")


def imagination() -> models.ImaginationActorCritic:
    network = models.ImaginationPolicy(FEATURES, ACTION, (8,))
    return models.ImaginationActorCritic(network, horizon=3, min_reward_r2=None)


MODELS: dict[str, Make] = {
    "ppo": lambda: models.ActorCritic(policy_network(), value_clip=0.2),
    "ppo, recurrent": recurrent,
    "random features": lambda: models.RandomFeatures(VECTOR, FEATURES, hidden=(8,), warmup=10_000),
    "plain features": lambda: models.PlainFeatures(VECTOR, warmup=10_000),
    "inverse dynamics": lambda: models.InverseDynamics(VECTOR, ACTION, FEATURES, hidden=(8,), inverse_hidden=(8,)),
    "forward dynamics": lambda: models.ForwardDynamics(dynamics()),
    "two steps ahead": lambda: models.ForwardDynamics(dynamics(), horizon=2),
    "recurrent dynamics": lambda: models.ForwardDynamics(
        models.RecurrentDynamics(FEATURES, ACTION, RecurrentCore(QLstm, width=8, depth=1, expansion=1))
    ),
    "mixture": lambda: models.ForwardDynamics(dynamics(lambda width, size: models.MixtureHead(width, size, 2))),
    "aleatoric mapping": lambda: models.ForwardDynamics(dynamics(rewards.PenalizedNormalHead)),
    "ensemble": lambda: models.ForwardDynamics(ensemble(), bootstrap=0.8),
    "gamma progress": lambda: rewards.ProgressDynamics(dynamics(), ema_decay=0.8),
    "previous error": lambda: rewards.PreviousError(rewards.PreviousErrorNetwork(FEATURES, ACTION, (8,))),
    "levels of errors": lambda: rewards.ResidualLevelsModel(rewards.ResidualLevels(FEATURES, ACTION, 3, 8)),
    "hierarchy": lambda: rewards.TimeHierarchyModel(rewards.TimeHierarchy(FEATURES, ACTION, 2, 2, 8)),
    "network distillation, warming up": lambda: rewards.RndModel(VECTOR, 8, hidden=(8,), warmup=10_000),
    "network distillation": lambda: rewards.RndModel(VECTOR, 8, hidden=(8,), warmup=ROWS),
    "random goals": lambda: attached(
        rewards.RandomGoals({"observation": VECTOR}, hidden=(8,)), policy=models.ActorCritic(policy_network())
    ),
    "errors after learning": lambda: attached(rewards.ErrorCritic(rewards.ErrorCriticNetwork(FEATURES, ACTION, (8,)))),
    "deep q-learning": lambda: models.DeepQLearning(models.QNetwork({"observation": VECTOR}, ACTION, hidden=(8,))),
    "soft actor-critic": lambda: models.SoftActorCritic(
        models.SacNetwork({"observation": VECTOR}, ACTION, hidden=(8,))
    ),
    "dreamer": lambda: models.Dreamer(
        models.DreamerNetwork({"observation": VECTOR}, ACTION, memory=8, variables=2, classes=3, hidden=(8,)),
        horizon=3,
    ),
    "outcomes": lambda: attached(outcome()),
    "imagination": lambda: attached(imagination(), outcome=outcome()),
    "image vae": lambda: models.ImageVae(IMAGE, FEATURES, channels=(4, 4, 4), hidden=8),
    "ijepa": lambda: models.IJepa(
        IMAGE, 16, tokens=4, token_width=4, patch=4, width=8, depth=1, heads=2, predictor_width=8,
        predictor_depth=1, predictor_heads=2, warmup=2,
    ),
    "latent decoder": lambda: models.LatentDecoder(IMAGE, FEATURES, channels=(8, 8, 8)),
}  # fmt: skip

OF_SEQUENCES = {
    "ppo, recurrent", "inverse dynamics", "forward dynamics", "two steps ahead", "recurrent dynamics", "mixture",
    "aleatoric mapping", "ensemble", "gamma progress", "levels of errors", "hierarchy", "outcomes", "imagination",
    "dreamer", "errors after learning",
}  # fmt: skip
WITH_LATENTS = OF_SEQUENCES - {"ppo, recurrent", "inverse dynamics", "dreamer"} | {"previous error", "latent decoder"}
OF_IMAGES = {"image vae", "ijepa", "latent decoder"}


def batch_of(name: str, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    leading = (ROWS, LENGTH) if name in OF_SEQUENCES else (ROWS,)

    def number(*shape: int) -> Tensor:
        return torch.rand(*leading, *shape, generator=generator)

    batch = {"observation.image": number(16, 16, 3)} if name in OF_IMAGES else {"observation.vector": number(SIZE)}
    if name in WITH_LATENTS:
        batch["latent"] = number(FEATURES)
    batch |= {each: number() for each in ("reward", "log_error", "value", "advantage", "return", "log_prob")}
    batch["action"] = torch.stack([(number() * count).long() for count in ACTION["nvec"]], -1)
    batch["policy_state"] = torch.zeros(*leading, 1, 8)
    batch["weight"] = torch.ones(leading)
    batch |= {"bootstrap": number(), "next.observation.vector": number(SIZE)}
    return batch | {each: number() < 0.1 for each in ("ended", "terminated")}


def spoiled(batch: dict[str, Tensor], value: float) -> dict[str, Tensor]:
    batch = copy.deepcopy(batch)
    for tensor in batch.values():
        if tensor.is_floating_point():
            tensor[1] = value
    return batch


def driver_of(module: LightningModule, on_nonfinite: str = "skip") -> LightningDriver:
    fabric = Fabric(accelerator="cpu", devices=1)
    driver = LightningDriver("model", module, fabric, GradientSettings(on_nonfinite=on_nonfinite))  # type: ignore[arg-type]
    driver.begin_epoch()
    return driver


def train(driver: LightningDriver, name: str, seed: int, spoil: float | None = None) -> dict[str, float]:
    torch.manual_seed(seed)
    batch = batch_of(name, seed)
    return driver.train_batch(batch if spoil is None else spoiled(batch, spoil))


CASES = [(name, math.nan) for name in MODELS]
CASES += [(name, math.inf) for name in ("ppo, recurrent", "random features", "ensemble")]


@pytest.mark.parametrize(("name", "value"), CASES)
def test_models_are_unchanged_by_a_non_finite_batch_which_is_skipped_and_counted(name: str, value: float) -> None:
    torch.manual_seed(0)
    module = MODELS[name]()
    torch.manual_seed(0)
    reference = MODELS[name]()
    driver, other = driver_of(module), driver_of(reference)
    logged = []
    for seed in (1, 2, 3):
        train(driver, name, seed)
        train(other, name, seed)
        if seed == 2:
            logged.append(train(driver, name, 99, spoil=value))
    assert driver.skipped_steps == 1
    assert logged == [{}]
    assert driver.optimizer_steps == other.optimizer_steps
    for key, tensor in module.state_dict().items():
        assert torch.equal(tensor, reference.state_dict()[key]), key
    expected = other.end_epoch()
    assert driver.end_epoch() == expected
    assert all(map(math.isfinite, expected.values()))


@pytest.mark.parametrize("name", MODELS)
def test_models_continue_training_after_a_non_finite_first_batch(name: str) -> None:
    torch.manual_seed(0)
    driver = driver_of(MODELS[name]())
    before = copy.deepcopy(driver.module.state_dict())
    train(driver, name, 1, spoil=math.nan)
    assert all(torch.equal(tensor, before[key]) for key, tensor in driver.module.state_dict().items())
    for seed in (2, 3):
        train(driver, name, seed)
    assert driver.skipped_steps == 1


@pytest.mark.parametrize("name", MODELS)
def test_models_stay_finite_after_a_batch_near_the_float32_maximum(name: str) -> None:
    torch.manual_seed(0)
    driver = driver_of(MODELS[name]())
    for seed in (1, 2):
        train(driver, name, seed)
    train(driver, name, 3, spoil=3e38)
    train(driver, name, 4)
    assert all(
        torch.isfinite(tensor).all() for tensor in driver.module.state_dict().values() if tensor.is_floating_point()
    )


def test_non_finite_error_names_the_non_finite_fields() -> None:
    for name in ("random features", "network distillation, warming up", "random goals", "ppo"):
        torch.manual_seed(0)
        driver = driver_of(MODELS[name](), on_nonfinite="stop")
        train(driver, name, 1)
        with pytest.raises(NonFiniteError, match=r"training step 1.*not finite in observation\.vector.*environment"):
            train(driver, name, 2, spoil=math.nan)


def test_lost_batches_covers_every_module_with_a_training_step() -> None:
    torch.manual_seed(0)
    tried = {type(make()) for make in MODELS.values()}
    shipped = {
        each for package in (models, rewards) for each in vars(package).values()
        if isinstance(each, type) and issubclass(each, LightningModule) and "training_step" in vars(each)
    }  # fmt: skip
    assert {each.__name__ for each in shipped - tried} <= {"Encoder", "LatentModel", "NetworkModel", "FixedFeatures"}
