"""Each formula against an independent computation."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import digamma
from torch import Tensor, nn

from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.models import (
    DynamicsNetwork,
    EnsembleDynamics,
    FixedNormal,
    ForwardDynamics,
    NormalHead,
    PlainFeatures,
    RecurrentDynamics,
    ResidualDynamics,
    horizon_weights,
)
from pamiq_exp.models.cores import Gru, RecurrentCore
from pamiq_exp.models.nn.layers import FieldsNetwork
from pamiq_exp.rewards import (
    CuriosityCritic,
    DeltaMinimize,
    Disagreement,
    DynamicsPair,
    EllipticalBonus,
    ErrorCritic,
    ErrorCriticNetwork,
    ExponentialStd,
    GammaProgress,
    GaussianEnsemble,
    GoalFeatures,
    Hierarchical,
    InverseFeatureError,
    LearningProgress,
    NeverGiveUp,
    NovelD,
    OpenLoopError,
    PenalizedNormal,
    PredictionError,
    PreviousErrorNetwork,
    RandomLatentExploration,
    Reward,
    RndModel,
    TableCritic,
    TimeHierarchy,
    Transition,
    level_coefficients,
)
from tests.rewards.parts import ACTION, FIELD, Published, transition

NUM_ENVS, FEATURES = 4, 6


class Given(Reward):
    """Returns the given values, one after another."""

    name = "given"

    def __init__(self, values: np.ndarray) -> None:
        super().__init__()
        self.values = iter(values)

    def compute(self, transition: Transition) -> np.ndarray:
        return np.asarray(next(self.values), dtype=np.float32)


class Drift(DynamicsNetwork):
    """Adds a number to everything, and counts its steps in its memory."""

    def __init__(self, change: float) -> None:
        super().__init__(FEATURES, state_width=1)
        self.change = change

    def forward(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return latent + self.change * (1 + state), state + 1


def vectors(steps: int, seed: int = 0, num_envs: int = NUM_ENVS) -> Tensor:
    return torch.randn(steps, num_envs, FEATURES, generator=torch.Generator().manual_seed(seed))


def transitions(path: Tensor, valid: Any = None) -> Iterator[Transition]:
    for step in range(len(path) - 1):
        yield transition(path[step], path[step + 1], valid=None if valid is None else valid[step])


def computed(reward: Reward, path: Tensor, valid: Any = None) -> np.ndarray:
    """The raw reward of each transition of a path."""
    with torch.no_grad():
        return np.stack([reward.compute(each) for each in transitions(path, valid)])


@given(arrays(np.float32, (20, 1), elements=st.floats(0, 10, width=16)), st.floats(0, 0.99))
def test_delta_minimize_discounted_sum_equals_the_telescoped_errors(errors: np.ndarray, gamma: float) -> None:
    falls = computed(DeltaMinimize(Given(errors)), torch.zeros(21, 1, FEATURES))[:, 0].astype(np.float64)
    known = errors[:, 0].astype(np.float64)
    weights = gamma ** np.arange(19)
    left = weights @ falls[1:]
    right = known[0] - (1 - gamma) * weights @ known[1:] - gamma**19 * known[-1]
    assert falls[0] == 0
    assert left == pytest.approx(right, abs=1e-4)


def test_delta_minimize_does_not_compare_errors_across_an_episode_end() -> None:
    valid = [[True], [False], [True], [True]]
    falls = computed(DeltaMinimize(Given(np.array([[1], [5], [2], [1.5]]))), torch.zeros(5, 1, FEATURES), valid)
    np.testing.assert_allclose(falls[2:, 0], [0, 0.5])


@pytest.mark.parametrize("decay", ["exponential", "geometric", "uniform"])
def test_open_loop_error_matches_a_loop_that_predicts_from_predictions(decay: Any) -> None:
    depth, path, network = 3, vectors(8), Drift(0.1)
    reward = OpenLoopError(horizon=depth, horizon_decay=decay)
    reward.attach({"dynamics": Published(network)})
    measured = computed(reward, path)
    weights = horizon_weights(depth, decay)
    for now in range(7):
        errors = []
        for ahead in range(1, min(depth, now + 1) + 1):
            latent = path[now + 1 - ahead]
            for step in range(now + 1 - ahead, now + 1):
                latent, _ = network(latent, torch.zeros(NUM_ENVS, 1), torch.full((NUM_ENVS, 1), float(step)))
            errors.append((path[now + 1] - latent).square().mean(-1).numpy())
        share = np.array(weights[: len(errors)]) / sum(weights[: len(errors)])
        np.testing.assert_allclose(measured[now], share @ np.stack(errors), rtol=1e-4)


def test_open_loop_error_of_an_ensemble_uses_the_mean_of_its_members() -> None:
    class Apart(Drift):
        """Two members, whose distributions have one more axis, as those of an ensemble."""

        def predict(self, *args: Any) -> Any:
            mean, state = self(*args)
            return FixedNormal(torch.stack([mean - 1, mean + 1])), state

    plain, ensemble = OpenLoopError(horizon=3), OpenLoopError(horizon=3)
    plain.attach({"dynamics": Published(Drift(0.1))})
    ensemble.attach({"dynamics": Published(Apart(0.1))})
    path = vectors(6)
    np.testing.assert_array_equal(computed(plain, path), computed(ensemble, path))


def test_open_loop_error_restarts_after_an_episode_end_or_an_encoder_change() -> None:
    path = vectors(6)
    valid = np.ones((5, NUM_ENVS), dtype=np.bool_)
    valid[2, 1] = False
    reward, plain = OpenLoopError(horizon=3), PredictionError()
    for each in (reward, plain):
        each.attach({"dynamics": Published(Drift(0.1))})
    deep, flat = computed(reward, path, valid), computed(plain, path, valid)
    np.testing.assert_allclose(deep[3, 1], flat[3, 1])
    assert abs(deep[3, 0] - flat[3, 0]) > 1e-3
    moved = transition(path[4], path[5])
    moved = Transition(
        **{name: getattr(moved, name) for name in moved.__dataclass_fields__} | {"encoder_changed": True}
    )
    other = PredictionError()
    other.attach({"dynamics": Published(Drift(0.1))})
    fresh = OpenLoopError(horizon=3)
    fresh.attach({"dynamics": Published(Drift(0.1))})
    computed(fresh, path[:5]), computed(other, path[:5])
    np.testing.assert_allclose(fresh.compute(moved), other.compute(moved))


@pytest.mark.parametrize("penalty", [0.1, 1.0, 3.0])
def test_penalized_normal_variance_gradient_is_zero_at_error_over_penalty(penalty: float) -> None:
    target = torch.randn(1000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    error = target.square().mean()
    log_variance = torch.log(error / penalty).expand(1000, 1).clone().requires_grad_()
    PenalizedNormal(torch.zeros(1000, 1, dtype=torch.float64), log_variance, penalty).loss(target).mean().backward()
    assert log_variance.grad is not None
    assert float(log_variance.grad.sum()) == pytest.approx(0, abs=1e-12)


def test_gaussian_ensemble_plus_aleatoric_variance_equals_mixture_variance() -> None:
    network = EnsembleDynamics(lambda: ResidualDynamics(FEATURES, ACTION, width=8, head=NormalHead), count=5)
    reward = GaussianEnsemble()
    reward.attach({"dynamics": Published(network)})
    path = vectors(2)
    measured = computed(reward, path)[0]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        predicted, _ = network.predict(path[0], torch.zeros(NUM_ENVS, 1, dtype=torch.int64), torch.zeros(NUM_ENVS, 0))
        draws = predicted.mean + predicted.variance.sqrt() * torch.randn(
            4000, *predicted.mean.shape, generator=generator
        )
    total = draws.flatten(0, 1).var(0).mean(-1).numpy()
    aleatoric = predicted.variance.mean(0).mean(-1).numpy()
    np.testing.assert_allclose(measured + aleatoric, total, rtol=0.02)
    assert reward.report()["gaussian_ensemble_epistemic"] == pytest.approx(measured.mean(), rel=1e-5)


def test_disagreement_is_the_variance_of_the_means_with_divisor_k() -> None:
    network = EnsembleDynamics(lambda: ResidualDynamics(FEATURES, ACTION, width=8), count=3)
    reward = Disagreement()
    reward.attach({"dynamics": Published(network)})
    path = vectors(2)
    with torch.no_grad():
        predicted, _ = network.predict(path[0], torch.zeros(NUM_ENVS, 1, dtype=torch.int64), torch.zeros(NUM_ENVS, 0))
    np.testing.assert_allclose(computed(reward, path)[0], predicted.mean.numpy().var(0).mean(-1), rtol=1e-4)


@pytest.mark.parametrize("kind", [Disagreement, GaussianEnsemble])
def test_disagreement_and_gaussian_ensemble_refuse_a_single_model(kind: type[Reward]) -> None:
    reward = kind()
    reward.attach({"dynamics": Published(ResidualDynamics(FEATURES, ACTION, width=8))})
    with pytest.raises(TypeError, match="EnsembleDynamics"):
        computed(reward, vectors(2))


def test_inverse_feature_error_is_half_the_prediction_error() -> None:
    rewards = [InverseFeatureError(), PredictionError()]
    for each in rewards:
        each.attach({"dynamics": Published(Drift(0.1))})
    half, whole = (computed(each, vectors(2)) for each in rewards)
    np.testing.assert_allclose(half, whole / 2)


class Expecting(PreviousErrorNetwork):
    """Expects one log error everywhere."""

    def __init__(self, log_error: float) -> None:
        super().__init__(FEATURES, ACTION, hidden=(4,))
        self.log_error = log_error

    def forward(self, latent: Tensor, action: Tensor) -> Tensor:
        return torch.full(latent.shape[:-1], self.log_error)


@pytest.mark.parametrize("form", ["log", "exp"])
def test_learning_progress_has_the_sign_of_the_decrease_in_error(form: Any) -> None:
    for error, sign in ((0.5, 1), (2.0, -1)):
        reward = LearningProgress(Given(np.full((1, NUM_ENVS), error)), form=form)
        reward.attach({"previous_error": Published(Expecting(0.0))})
        assert (np.sign(computed(reward, vectors(2))) == sign).all()
        np.testing.assert_allclose(reward.fields()["log_error"], np.log(error + 1e-3), rtol=1e-5)


@pytest.mark.parametrize("numbers", [1, 10, 100])
def test_learning_progress_exp_form_has_the_bias_of_the_geometric_mean(numbers: int) -> None:
    generator = np.random.default_rng(0)
    errors = np.square(generator.standard_normal((400_000 // numbers, numbers))).mean(1)
    reward = LearningProgress(Given(errors[:, None]), form="exp", min_error=1e-9)
    reward.attach({"previous_error": Published(Expecting(float(np.log(errors).mean())))})
    path = torch.zeros(2, 1, FEATURES)
    sample = [float(computed(reward, path)[0, 0]) for _ in range(4000)]
    expected = 2 / numbers * np.exp(digamma(numbers / 2)) - 1
    assert np.mean(sample) == pytest.approx(expected, abs=4 * np.std(sample) / np.sqrt(len(sample)) + 0.01)


def test_gamma_progress_is_the_mean_error_decrease_from_old_to_new_model() -> None:
    reward = GammaProgress(window=2)
    reward.attach({"dynamics": Published(DynamicsPair(Drift(0.1), Drift(0.3)))})
    path = vectors(5)
    each = []
    for age in (0.3, 0.1):
        error = PredictionError()
        error.attach({"dynamics": Published(Drift(age))})
        each.append(computed(error, path))
    difference = each[0] - each[1]
    measured = computed(reward, path)
    np.testing.assert_allclose(measured[0], difference[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(measured[1:], (difference[1:] + difference[:-1]) / 2, rtol=1e-4, atol=1e-6)


def test_elliptical_bonus_matches_direct_matrix_inversion() -> None:
    path = vectors(40, num_envs=3)
    measured = computed(EllipticalBonus(ridge=0.1, window=None), path)
    first = path[0].double().numpy()
    covariance = 0.1 * np.eye(FEATURES) + first[:, :, None] * first[:, None, :]
    for step in range(39):
        features = path[step + 1].double().numpy()
        for env in range(3):
            direct = features[env] @ np.linalg.inv(covariance[env]) @ features[env]
            assert measured[step, env] == pytest.approx(direct, rel=1e-6)
            covariance[env] += np.outer(features[env], features[env])


def test_elliptical_bonus_resets_at_the_window_and_at_episode_ends() -> None:
    path = vectors(9, num_envs=2)
    valid = np.ones((8, 2), dtype=np.bool_)
    valid[2, 1] = False
    bonus = computed(EllipticalBonus(window=4), path, valid)
    np.testing.assert_array_equal(bonus == 0, [[turn == 4, turn in (2, 6)] for turn in range(8)])
    again = computed(EllipticalBonus(window=None), path[5:7])  # what the second episode of environment 0 begins with
    np.testing.assert_allclose(bonus[5, 0], again[0, 0], rtol=1e-6)
    again = computed(EllipticalBonus(window=None), path[3:5])
    np.testing.assert_allclose(bonus[3, 1], again[0, 1], rtol=1e-6)


@pytest.mark.slow
def test_elliptical_bonus_without_a_window_decays_as_features_over_turns() -> None:
    path = vectors(4001, num_envs=2)
    bonus = computed(EllipticalBonus(window=None), path)
    assert 4000 * bonus[-500:].mean() == pytest.approx(FEATURES * 4000 / 3750, rel=0.05)


def test_random_latent_exploration_has_mean_zero_and_the_std_of_unit_vectors() -> None:
    width = 16
    trunk = FieldsNetwork({FIELD: {"shape": [FEATURES], "dtype": "float32"}}, (), (32,), "relu")
    reward = RandomLatentExploration(num_envs=2000, seed=0, features=width, segment=1)
    reward.attach({"random_goals": Published(GoalFeatures(trunk, width))})
    path = vectors(3, num_envs=2000)
    measured = computed(reward, path)
    assert measured.mean() == pytest.approx(0, abs=0.01)
    assert measured.std() == pytest.approx(1 / np.sqrt(width), rel=0.05)
    assert np.abs(measured).max() <= 1


def test_random_latent_exploration_keeps_a_goal_per_segment_and_reports_cuts() -> None:
    trunk = FieldsNetwork({FIELD: {"shape": [FEATURES], "dtype": "float32"}}, (), (8,), "relu")
    reward = RandomLatentExploration(num_envs=2, seed=0, features=4, segment=4)
    reward.attach({"random_goals": Published(GoalFeatures(trunk, 4))})
    cpu, path = torch.device("cpu"), vectors(9, num_envs=2)
    goals, cuts = [reward.policy_inputs(2, cpu)["goal"]], []
    for step in range(8):
        computed(reward, path[step : step + 2])
        goals.append(reward.policy_inputs(2, cpu)["goal"])
        cuts.append(reward.cuts().copy())
    changed = np.array([(before != after).any(-1).numpy() for before, after in pairwise(goals)])
    np.testing.assert_array_equal(changed, np.array(cuts))
    np.testing.assert_array_equal(changed[:, 0], [False, False, False, True] * 2)
    assert changed[:, 1].sum() == 2
    assert not (changed[:, 0] & changed[:, 1]).any()


@pytest.mark.parametrize("bits", [None, 12])
def test_novel_d_rewards_only_rising_novelty_on_first_visits_of_an_episode(bits: int | None) -> None:
    model = RndModel({"vector": {"shape": [FEATURES], "dtype": "float32"}}, features=8, warmup=8)
    path = vectors(40, num_envs=2)
    model.network.warm_up({FIELD: path})
    there, back = path[0], path[1]
    walk = torch.stack([back, there, there, there, back, back, back, back, back, there])
    with torch.no_grad():
        whitened = model.network.whitened({FIELD: walk})
        difference = (model.network.predictor(whitened) - model.network.target(whitened)).double().numpy()
    novelty = np.sqrt((difference**2).sum(-1))
    rises = np.maximum(novelty[1:] - 0.5 * novelty[:-1], 0)
    valid = np.ones((9, 2), dtype=np.bool_)
    valid[4, 0] = False  # a new episode begins with `back` in environment 0
    for window, first in {
        None: [[1, 0, 0, 0, 0, 0, 0, 0, 1], [1, 0, 0, 0, 0, 0, 0, 0, 0]],
        3: [[1, 0, 0, 1, 0, 0, 0, 0, 1], [1, 0, 0, 1, 0, 0, 0, 0, 1]],  # the others: more than three turns have passed
    }.items():
        reward = NovelD(num_envs=2, seed=0, bits=bits, window=window, alpha=0.5)
        reward.attach({"rnd": Published(model.network)})
        measured = computed(reward, walk, valid)
        np.testing.assert_allclose(measured[valid], (rises * np.array(first).T)[valid], rtol=1e-5)


def test_never_give_up_is_inverse_episode_similarity_times_clipped_novelty() -> None:
    model = RndModel({"vector": {"shape": [FEATURES], "dtype": "float32"}}, features=8, warmup=8)
    path = vectors(30, num_envs=2)
    model.network.warm_up({FIELD: path})
    valid = np.ones((29, 2), dtype=np.bool_)
    valid[10, 1] = False
    reward = NeverGiveUp(num_envs=2, neighbors=3, limit=2.0)
    reward.attach({"rnd": Published(model.network)})
    measured = computed(reward, path, valid)
    memory: list[list[Any]] = [[path[0, env].double().numpy()] for env in range(2)]
    distances: list[float] = []
    errors: list[float] = []
    for step in range(29):
        with torch.no_grad():
            error = model.network({FIELD: path[step + 1]}).double().numpy()
        errors += [float(each) for each in error[valid[step]]]
        for env in range(2):
            f = path[step + 1, env].double().numpy()
            if not valid[step, env]:
                memory[env] = [f]
                continue
            near = sorted(float(((f - other) ** 2).sum()) for other in memory[env])[:3]
            distances += near
            memory[env].append(f)
            kernel = [1e-3 / (max(each / np.mean(distances) - 8e-3, 0) + 1e-3) for each in near]
            alpha = 1 + (error[env] - np.mean(errors)) / np.std(errors)
            expected = min(max(alpha, 1), 2) / (np.sqrt(sum(kernel)) + 1e-3)
            assert measured[step, env] == pytest.approx(expected, rel=1e-4)


def test_curiosity_critic_subtracts_the_error_that_the_critic_predicts() -> None:
    torch.manual_seed(0)
    network = ErrorCriticNetwork(FEATURES, ACTION, hidden=(8,))
    reward, error = CuriosityCritic(dynamics="drift"), PredictionError(dynamics="drift")
    for each in (reward, error):
        each.attach({"drift": Published(Drift(0.1)), "error_critic": Published(network)})
    path = vectors(4)
    with torch.no_grad():
        raw = network.raw(path[:-1], torch.zeros(3, NUM_ENVS, 1, dtype=torch.int64)).numpy()
    np.testing.assert_allclose(computed(reward, path), computed(error, path) - np.maximum(raw, 0), rtol=1e-5)


def test_error_critic_loss_matches_the_dynamics_error_without_training_the_dynamics() -> None:
    dynamics = ForwardDynamics(ResidualDynamics(FEATURES, ACTION, width=8))
    critic = ErrorCritic(ErrorCriticNetwork(FEATURES, ACTION, hidden=(8,)))
    critic.attach_models({"encoder": PlainFeatures({"vector": {"shape": [FEATURES], "dtype": "float32"}}),
                          "dynamics": dynamics})  # fmt: skip
    critic.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
    batch = {
        "latent": vectors(2).transpose(0, 1), "action": torch.zeros(NUM_ENVS, 2, 1, dtype=torch.int64),
        "ended": torch.tensor([[False, False], [True, False], [False, False], [False, True]]),
    }  # fmt: skip
    loss = critic.training_step(batch, 0)
    loss.backward()
    prediction, _ = dynamics.network(batch["latent"][:, 0], batch["action"][:, 0], torch.zeros(NUM_ENVS, 0))
    error = (batch["latent"][:, 1] - prediction).square().mean(-1)
    squares = (critic.network.raw(batch["latent"][:, 0], batch["action"][:, 0]) - error).square()
    torch.testing.assert_close(loss, squares[[0, 2, 3]].mean())
    assert all(parameter.grad is None for parameter in dynamics.parameters())


def test_table_critic_is_a_moving_average_of_each_state() -> None:
    critic = TableCritic(2, ema_decay=0.9)
    for error in (2.0, 4.0):
        critic.update(1, error)
    assert critic(0) == 0
    assert critic(1) == pytest.approx(0.9 * 0.2 + 0.4)


def test_hierarchical_with_one_layer_is_the_prediction_error() -> None:
    network = TimeHierarchy(FEATURES, ACTION, layers=1, width=8)
    reward = Hierarchical(NUM_ENVS, 1, scheme="maximize")
    reward.attach({"hierarchy": Published(network)})
    path = vectors(5)
    action = network.action(torch.zeros(NUM_ENVS, 1, dtype=torch.int64))
    with torch.no_grad():
        expected = [
            (path[step + 1] - network.step(0, path[step], action).prediction).square().mean(-1).numpy()
            for step in range(4)
        ]
    np.testing.assert_allclose(computed(reward, path), expected, rtol=1e-5)


def test_hierarchical_layers_report_when_their_steps_end() -> None:
    network = TimeHierarchy(FEATURES, ACTION, layers=3, ratio=2, width=8)
    reward = Hierarchical(NUM_ENVS, 3, scheme="maximize")
    reward.attach({"hierarchy": Published(network)})
    path = vectors(14)
    ticks: dict[str, list[int]] = {"layer_0": [], "layer_1": [], "layer_2": []}
    for step in range(13):
        computed(reward, path[step : step + 2])
        for name in reward.report():
            if (layer := name.removeprefix("hierarchical_")) in ticks:
                ticks[layer].append(step)
    np.testing.assert_allclose(reward.weights, [0.5, 0.25, 0.25])
    assert ticks == {"layer_0": list(range(13)), "layer_1": [2, 4, 6, 8, 10, 12], "layer_2": [8, 12]}


def test_level_coefficients_match_each_scheme() -> None:
    expected: dict[Any, list[int]] = {
        "maximize": [1, 1, 1],
        "minimize": [-1, -1, -1],
        "maximize_top": [-1, -1, 1],
        "lerp_min_max": [-1, 0, 1],
        "lerp_max_min": [1, 0, -1],
        "top_only": [0, 0, 1],
    }
    assert {scheme: level_coefficients(3, scheme).tolist() for scheme in expected} == expected
    assert not [scheme for scheme in expected if level_coefficients(1, scheme)[0] not in (1, -1)]


@given(arrays(np.float32, (30, 2), elements=st.floats(-10, 10, width=32)), st.floats(0.5, 0.99))
def test_exponential_std_matches_the_weighted_standard_deviation(rewards: np.ndarray, decay: float) -> None:
    normalizer = ExponentialStd(ema_decay=decay, min_std=1e-3, warmup=1)
    for row in rewards:
        scaled = normalizer(row, np.ones(2, dtype=np.bool_))
    weights = np.repeat(decay ** np.arange(29, -1, -1), 2)
    values = rewards.astype(np.float64).ravel()
    mean = np.average(values, weights=weights)
    std = max(np.sqrt(max(np.average(values**2, weights=weights) - mean**2, 0)), 1e-3)
    np.testing.assert_allclose(scaled, rewards[-1] / std, rtol=2e-3, atol=1e-4)


def warmed_up_rnd() -> nn.Module:
    model = RndModel({"vector": {"shape": [FEATURES], "dtype": "float32"}}, features=8, warmup=8)
    model.network.warm_up({FIELD: vectors(12)})
    return model.network


MODELS: dict[str, nn.Module] = {
    "drift": Drift(0.1),
    "ages": DynamicsPair(Drift(0.1), Drift(0.3)),
    "hierarchy": TimeHierarchy(FEATURES, ACTION, layers=3, ratio=2, width=8),
    "previous_error": PreviousErrorNetwork(FEATURES, ACTION, hidden=(8,)),
    "recurrent": RecurrentDynamics(FEATURES, ACTION, RecurrentCore(Gru, 6, depth=1)),
    "rnd": warmed_up_rnd(),
}


def make_stateful(name: str) -> Reward:
    reward: Reward = {
        "open_loop": lambda: OpenLoopError(dynamics="drift"),
        "delta": lambda: DeltaMinimize(PredictionError(dynamics="drift")),
        "progress": lambda: LearningProgress(PredictionError(dynamics="drift")),
        "ages": lambda: GammaProgress(dynamics="ages", window=3),
        "e3b": lambda: EllipticalBonus(window=5),
        "hierarchical": lambda: Hierarchical(NUM_ENVS, 3),
        "recurrent": lambda: PredictionError(dynamics="recurrent"),
        "novel_d": lambda: NovelD(NUM_ENVS, seed=0),
    }[name]()
    reward.attach({key: Published(model) for key, model in MODELS.items()})
    return reward


STATEFUL = ("open_loop", "delta", "progress", "ages", "e3b", "hierarchical", "recurrent", "novel_d")


def scaled(reward: Reward, path: Tensor, valid: Any) -> np.ndarray:
    """The reward of each transition, which also enters the metrics."""
    with torch.no_grad():
        return np.stack([reward(each) for each in transitions(path, valid)])


@pytest.mark.parametrize("name", STATEFUL)
def test_rewards_continue_identically_after_a_restore(name: str) -> None:
    path, valid = vectors(8).repeat(2, 1, 1), np.random.default_rng(0).random((15, NUM_ENVS)) > 0.1
    whole, first, second, fresh = (make_stateful(name) for _ in range(4))
    expected = scaled(whole, path, valid)
    scaled(first, path[:8], valid[:7])
    restore_state(second, collect_state(first))
    np.testing.assert_array_equal(scaled(second, path[7:], valid[7:]), expected[7:])
    assert second.report() == whole.report()
    assert (scaled(fresh, path[7:], valid[7:]) != expected[7:]).any(), "the state matters"


@pytest.mark.parametrize("name", STATEFUL)
def test_rewards_of_an_environment_do_not_depend_on_other_environments(name: str) -> None:
    path, valid = vectors(12), np.random.default_rng(1).random((11, NUM_ENVS)) > 0.1
    together = computed(make_stateful(name), path, valid)
    if name == "hierarchical":
        order = np.arange(NUM_ENVS)[::-1].copy()
        np.testing.assert_allclose(
            computed(make_stateful(name), path[:, order], valid[:, order]), together[:, order], rtol=1e-5
        )
        return
    for env in range(NUM_ENVS):
        alone = computed(make_stateful(name), path[:, env : env + 1], valid[:, env : env + 1])
        np.testing.assert_allclose(alone[:, 0], together[:, env], rtol=1e-4, atol=1e-6)
