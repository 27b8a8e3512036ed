"""Each reward with small models of its own, ready to run in a synthetic world."""

from __future__ import annotations

from collections import deque
from functools import partial

import numpy as np
import torch

from pamiq_exp.models import EnsembleDynamics, ForwardDynamics, NormalHead, ResidualDynamics
from pamiq_exp.models.dynamics import DynamicsNetwork
from pamiq_exp.rewards import (
    AleatoricMapping,
    DeltaMinimize,
    Disagreement,
    GammaProgress,
    GaussianEnsemble,
    LearningProgress,
    Meta,
    OpenLoopError,
    PenalizedNormalHead,
    PredictionError,
    PreviousError,
    PreviousErrorNetwork,
    ProgressDynamics,
    RandomFeatureError,
    ResidualLevels,
    ResidualLevelsModel,
    Reward,
    RndModel,
    Transition,
)
from pamiq_exp.rewards import RandomNetworkDistillation as RandomNetworkReward
from tests.rewards.parts import ACTION, FIELD, NUMBERS, OBSERVATION, Learner, Published, RewardRun, pair_batch

RATE = 2e-3


def small(head: partial[NormalHead] | None = None) -> ResidualDynamics:
    return ResidualDynamics(NUMBERS, ACTION, width=64, depth=1, head=head)


def ensemble(head: partial[NormalHead] | None = None) -> EnsembleDynamics:
    return EnsembleDynamics(partial(small, head), count=5)


def run_of_dynamics(reward: Reward, network: DynamicsNetwork, bootstrap: float = 1.0) -> RewardRun:
    model = ForwardDynamics(network, bootstrap=bootstrap)
    reward.attach({"dynamics": Published(model.inference_module())})
    learner = Learner(model, RATE)
    return RewardRun(reward, lambda step: learner.train(pair_batch(step)))


def prediction_error() -> RewardRun:
    return run_of_dynamics(PredictionError(), small())


def random_features() -> RewardRun:
    return run_of_dynamics(RandomFeatureError(), small())


def open_loop() -> RewardRun:
    return run_of_dynamics(OpenLoopError(horizon=3), small())


def delta_minimize() -> RewardRun:
    return run_of_dynamics(DeltaMinimize(PredictionError()), small())


def disagreement() -> RewardRun:
    return run_of_dynamics(Disagreement(), ensemble(), bootstrap=0.8)


def gaussian_ensemble(form: str = "variance") -> RewardRun:
    return run_of_dynamics(GaussianEnsemble(form=form), ensemble(partial(NormalHead)))  # type: ignore[arg-type]


def ama(penalty: float = 1.0, eta: float = 1.0) -> RewardRun:
    return run_of_dynamics(AleatoricMapping(eta=eta), small(partial(PenalizedNormalHead, penalty=penalty)))


def gamma_progress(ema_decay: float = 0.995) -> RewardRun:
    model = ProgressDynamics(small(), ema_decay=ema_decay)
    reward = GammaProgress()
    reward.attach({"dynamics": Published(model.inference_module())})
    learner = Learner(model, RATE)
    return RewardRun(reward, lambda step: learner.train(pair_batch(step)))


def meta(scheme: str = "maximize") -> RewardRun:
    model = ResidualLevelsModel(ResidualLevels(NUMBERS, ACTION, levels=2, width=64))
    reward = Meta(2, scheme=scheme)  # type: ignore[arg-type]
    reward.attach({"levels": Published(model.inference_module())})
    learner = Learner(model, RATE)
    return RewardRun(reward, lambda step: learner.train(pair_batch(step)))


def rnd() -> RewardRun:
    model = RndModel(OBSERVATION, features=32, hidden=(64, 64), warmup=256)
    reward = RandomNetworkReward()
    reward.attach({"rnd": Published(model.inference_module())})
    learner = Learner(model, RATE)
    return RewardRun(reward, lambda step: learner.train({FIELD: step.observation[FIELD]}))


def learning_progress(form: str = "log") -> RewardRun:
    """h learns from the errors of the last ten turns, drawn with replacement."""
    dynamics = ForwardDynamics(small())
    previous = PreviousError(PreviousErrorNetwork(NUMBERS, ACTION, hidden=(64, 32)))
    reward = LearningProgress(PredictionError(), form=form)  # type: ignore[arg-type]
    reward.attach({"dynamics": Published(dynamics.network), "previous_error": Published(previous.network)})
    learner, other = Learner(dynamics, RATE), Learner(previous, RATE)
    records: deque[dict[str, torch.Tensor]] = deque(maxlen=10)
    generator = np.random.default_rng(0)

    def learn(step: Transition) -> None:
        assert step.latent is not None
        log_error = torch.from_numpy(reward.fields()["log_error"])
        ended = torch.zeros(len(log_error), dtype=torch.bool)
        records.append({"latent": step.latent, "action": step.action, "log_error": log_error, "ended": ended})
        other.train(records[generator.integers(len(records))])
        learner.train(pair_batch(step))

    return RewardRun(reward, learn)
