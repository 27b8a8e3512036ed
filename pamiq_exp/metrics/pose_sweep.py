"""Looking through an agent's encoder at poses that stay the same for the whole run."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pamiq_exp.component import State
from pamiq_exp.interaction import Array, StepObserver, Turn
from pamiq_exp.metrics.coverage import FirstEntries
from pamiq_exp.metrics.pages import BufferedMetric, Rows
from pamiq_exp.seeding import numpy_generator

logger = logging.getLogger(__name__)

Numbers = NDArray[np.float64]


class EncoderLike(Protocol):
    """What a model must offer: `ready` says whether its latents mean something yet, `settled` that they will never
    change again."""

    ready: bool
    settled: bool

    def encode(self, batch: dict[str, Tensor]) -> Tensor:
        """Return `(n, features)` for `observation.*` fields."""


class PoseSweep(StepObserver):
    """Base class of metrics that look at fixed poses, a few in each turn, so that no turn takes long.

    A sweep over all poses begins every `every_steps` environment steps, the first one as soon as the agent's
    encoder is ready; when it is over, `finish` works out the figures. Where poses cannot be had, or the
    agent has no such encoder, nothing is reported.

    Args:
        poses: What `pamiq_exp.environments.record_at_poses` returns.
        encoder: Name of the agent's encoder.
        every_steps: Environment steps from the start of one sweep to that of the next.
        poses_per_turn: Poses looked at in one turn.
    """

    title: str

    def __init__(
        self, poses: Mapping[str, Array], encoder: str = "encoder", every_steps: int = 10_000, poses_per_turn: int = 16
    ) -> None:
        if every_steps < 1 or poses_per_turn < 1:
            raise ValueError("every_steps and poses_per_turn must be at least 1")
        self._poses = {name: np.asarray(column) for name, column in poses.items()}
        self._count = len(self._poses.get("pose", ()))
        self._encoder_name = encoder
        self._every, self._share = every_steps, poses_per_turn
        self._steps = 0
        self._due = 0
        self._next: int | None = None
        self._columns: dict[str, list[Array]] = {}
        self._blind = self._count == 0
        self._figures: dict[str, float] = {}
        self._kept: dict[int, dict[str, Tensor]] = {}

    @abstractmethod
    def encode(self, encoder: EncoderLike, first: int, last: int) -> dict[str, Tensor]:
        """Return what the encoder makes of the poses from `first` to `last - 1`, each `(last - first, ...)`."""

    @abstractmethod
    def look(self, turn: Turn, encoded: Mapping[str, Tensor], first: int, last: int) -> dict[str, Array]:
        """Return what the poses from `first` to `last - 1` give, each `(last - first, ...)`, from `encode`."""

    @abstractmethod
    def finish(self, columns: Mapping[str, Array]) -> dict[str, float]:
        """Return the figures of a whole sweep from what `look` returned for all poses."""

    def on_step(self, turn: Turn) -> None:
        self._steps += len(turn.observation.reward)
        if self._blind or (self._next is None and self._steps < self._due):
            return
        encoder = self._encoder(turn)
        if encoder is None or not encoder.ready:
            return
        if self._next is None:
            self._next, self._columns, self._due = 0, {}, (self._steps // self._every + 1) * self._every
        last = min(self._next + self._share, self._count)
        with torch.no_grad():
            encoded = self._kept.get(self._next) or self.encode(encoder, self._next, last)
            if encoder.settled:
                self._kept[self._next] = encoded
            for name, column in self.look(turn, encoded, self._next, last).items():
                self._columns.setdefault(name, []).append(column)
        self._next = last
        if last == self._count:
            self._figures = self.finish({name: np.concatenate(column) for name, column in self._columns.items()})
            self._next, self._columns = None, {}

    @property
    def _is_settled(self) -> bool:
        """Whether the encoder has seen all poses and will never see them in another way."""
        return len(self._kept) * self._share >= self._count

    def _encoder(self, turn: Turn) -> EncoderLike | None:
        try:
            module = turn.agent.model(self._encoder_name).module
        except KeyError:
            module = None
        if not hasattr(module, "encode"):
            logger.info("no %s: this agent has no encoder '%s'", self.title, self._encoder_name)
            self._blind = True
            return None
        return cast("EncoderLike", module)

    def fields(self, kind: str, first: int, last: int, like: EncoderLike) -> dict[str, Tensor]:
        """Return the `observation.*` fields of some poses, on the encoder's device.

        `kind` is `observation`, `next_observation` or `clean_observation`.
        """
        device = _device(like)
        own = {name.partition(".")[2]: name for name in self._poses if name.startswith(f"{kind}.")}
        return {
            f"observation.{name}": torch.from_numpy(self._poses[column][first:last]).to(device)
            for name, column in own.items()
        }

    def report(self) -> dict[str, float]:
        return dict(self._figures)

    def state(self) -> State:
        saved = {name: np.concatenate(column) for name, column in self._columns.items()}
        return {
            "steps": self._steps,
            "due": self._due,
            "next": self._next,
            "columns": saved,
            "figures": dict(self._figures),
        }

    def load_state(self, state: State) -> None:
        self._steps, self._due = int(state["steps"]), int(state["due"])
        self._next = None if state["next"] is None else int(state["next"])
        self._columns = {name: [np.asarray(column)] for name, column in state["columns"].items()}
        self._figures = {name: float(value) for name, value in state["figures"].items()}


def _device(encoder: object) -> torch.device:
    tensors = encoder.state_dict().values() if isinstance(encoder, torch.nn.Module) else ()
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def numbers(tensor: Tensor) -> Numbers:
    """Return a tensor as numpy numbers of double precision."""
    return tensor.to("cpu", torch.float64).numpy()


MOST_INPUTS = 3072
"""Numbers of a view that the random projection reads; larger views are thinned out."""


class PoseProbe(PoseSweep):
    """How well x, y, sine and cosine of the heading can be read off the latent vector by a linear map.

    A ridge regression is fitted to four fifths of the poses, split by square meters of the map, and R^2 on
    the others is reported, mean of the four: `pose_probe`. `pose_probe_random` is the same for a random
    projection of the pixels with as many features, rectified: what an encoder that has learned nothing gives.

    Args:
        poses: What `record_at_poses` returns.
        seed: Of the split and of the random projection.
        encoder, every_steps, poses_per_turn: See `PoseSweep`.
        penalty: Of the regression.
    """

    title = "pose probe"

    def __init__(
        self,
        poses: Mapping[str, Array],
        seed: int,
        encoder: str = "encoder",
        every_steps: int = 10_000,
        poses_per_turn: int = 16,
        penalty: float = 1e-3,
    ) -> None:
        used = {name: column for name, column in poses.items() if name == "pose" or _is_view(name)}
        super().__init__(used, encoder, every_steps, poses_per_turn)
        self._seed = seed
        self._penalty = penalty
        self._random: float | None = None
        if self._count:
            pose = self._poses["pose"]
            self._targets: Numbers = np.column_stack([pose[:, :2], np.sin(pose[:, 2]), np.cos(pose[:, 2])])
            self._is_test = held_back_squares(pose, seed)

    def on_step(self, turn: Turn) -> None:
        if self._figures and self._is_settled:
            self._steps += len(turn.observation.reward)  # nothing will ever change
        else:
            super().on_step(turn)

    def encode(self, encoder: EncoderLike, first: int, last: int) -> dict[str, Tensor]:
        """See the base class."""
        return {"latent": encoder.encode(self.fields("observation", first, last, encoder))}

    def look(self, turn: Turn, encoded: Mapping[str, Tensor], first: int, last: int) -> dict[str, Array]:
        """See the base class."""
        return {"latent": numbers(encoded["latent"])}

    def finish(self, columns: Mapping[str, Array]) -> dict[str, float]:
        """See the base class."""
        latent = columns["latent"]
        if self._random is None:
            self._random = self._score(random_features(self._views(), latent.shape[1], self._seed))
        return {"pose_probe": self._score(latent), "pose_probe_random": self._random}

    def _score(self, features: Numbers) -> float:
        fit, test = ~self._is_test, self._is_test
        probe = Ridge(features[fit], self._targets[fit], self._penalty)
        return explained(self._targets[test], probe(features[test]))

    def _views(self) -> Numbers:
        columns = [column.reshape(self._count, -1) for name, column in self._poses.items() if _is_view(name)]
        views = np.concatenate(columns, axis=1).astype(np.float64)
        views = views[:, :: -(-views.shape[1] // MOST_INPUTS)]
        return views / max(float(np.abs(views).max()), 1e-9)


def _is_view(name: str) -> bool:
    return name.startswith("observation.")


def held_back_squares(pose: Numbers, seed: int) -> NDArray[np.bool_]:
    """Return which poses lie in the fifth of the square meters that the fit does not see, `(n,)`."""
    _, square = np.unique(np.floor(pose[:, :2]), axis=0, return_inverse=True)
    square = square.reshape(-1)
    squares = int(square.max()) + 1
    chosen = numpy_generator(seed, "split").permutation(squares)[: max(squares // 5, 1)]
    return np.isin(square, chosen)


def random_features(views: Numbers, features: int, seed: int) -> Numbers:
    """Return rectified random projections of views, `(n, features)`."""
    generator = numpy_generator(seed, "random features")
    weights = generator.standard_normal((views.shape[1], features)) / np.sqrt(views.shape[1])
    projected: Numbers = np.maximum(product(views - views.mean(axis=0), weights), 0.0)
    return projected


def product(first: Numbers, second: Numbers) -> Numbers:
    """Return a product of matrices, worked out with as many threads as models have on this thread.

    Numpy's own product would wake threads of its own, which wait for each other by spinning: beside a training
    thread that took thirty times as long.
    """
    result: Numbers = (torch.from_numpy(first) @ torch.from_numpy(second)).numpy()
    return result


class Ridge:
    """A linear map from standardized inputs, fitted with a penalty on its squared weights.

    Minimizes mean |y - W x - b|^2 + penalty |W|^2 (Hoerl and Kennard 1970).

    Args:
        inputs: `(n, features)`. Features that do not vary are left out of account.
        targets: `(n, outputs)`.
        penalty: Weight of the penalty.
    """

    def __init__(self, inputs: Numbers, targets: Numbers, penalty: float = 1e-3) -> None:
        self._mean, self._offset = inputs.mean(axis=0), targets.mean(axis=0)
        spread = inputs.std(axis=0)
        self._scale = np.where(spread > 1e-9, 1.0 / np.where(spread > 1e-9, spread, 1.0), 0.0)
        scaled = (inputs - self._mean) * self._scale
        rows, features = scaled.shape
        self._weights: Numbers
        if features <= rows:
            gram = product(scaled.T, scaled) / rows + penalty * np.eye(features)
            self._weights = _solve(gram, product(scaled.T, targets - self._offset) / rows)
        else:
            # The same weights (Woodbury) from the products of rows: of pixels, those of features would take gigabytes.
            kernel = product(scaled, scaled.T) / rows + penalty * np.eye(rows)
            self._weights = product(scaled.T, _solve(kernel, targets - self._offset)) / rows

    def __call__(self, inputs: Numbers) -> Numbers:
        """Return what is predicted for `(m, features)`: `(m, outputs)`."""
        predicted: Numbers = product((inputs - self._mean) * self._scale, self._weights) + self._offset
        return predicted


def _solve(matrix: Numbers, right: Numbers) -> Numbers:
    solution: Numbers = torch.linalg.solve(torch.from_numpy(matrix), torch.from_numpy(right)).numpy()
    return solution


def explained(targets: Numbers, predicted: Numbers) -> float:
    """Return R^2, 1 - residual / total sum of squares, mean over outputs that vary."""
    residual = ((targets - predicted) ** 2).sum(axis=0)
    total = ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
    varies = total > 1e-12
    return float((1.0 - residual[varies] / total[varies]).mean()) if varies.any() else 0.0


class Forgetting(BufferedMetric):
    """Mean rise of a room's model error over its lowest value, among rooms that were entered early.

    F(T) = mean over the rooms entered in the first `early` part of the run of e_room(T) - min_t e_room(t).

    Args:
        early: Share of the run so far in which a room must have been entered first.
    """

    title, needs = "forgetting", ("room",)
    columns = needs

    def __init__(self, early: float = 0.2) -> None:
        super().__init__()
        self._early = early
        self._entries = FirstEntries()
        self._lowest: dict[int, float] = {}

    def count(self, rows: Rows) -> None:
        self._entries.enter(rows["room"])

    def figures(self) -> dict[str, float]:
        return {}

    def measure(self, step: int, errors: dict[int, float]) -> float | None:
        """Take in the errors of all rooms at a step and return F; None while no room counts."""
        self._catch_up()
        for room, error in errors.items():
            self._lowest[room] = min(error, self._lowest.get(room, error))
        known = [
            room for room, entered in self._entries.first.items() if entered <= self._early * step and room in errors
        ]
        if not known:
            return None
        return sum(errors[room] - self._lowest[room] for room in known) / len(known)

    def counted(self) -> State:
        return {
            "rooms": np.array(list(self._lowest), dtype=np.int64),
            "lowest": np.array(list(self._lowest.values())),
        }

    def load_state(self, state: State) -> None:
        self._lowest = dict(zip(np.asarray(state["rooms"]).tolist(), np.asarray(state["lowest"]).tolist(), strict=True))


SIDE = 16
"""Pixels a side of the pictures in which errors are measured; views are averaged down to them."""


class DynamicsLike(Protocol):
    """What a forward model must offer."""

    def initial_state(self, batch: int, device: torch.device) -> Tensor:
        """Return an empty memory."""

    def __call__(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the next latent vector, and the memory after it."""


class ModelError(PoseSweep):
    """Error of the forward model at fixed poses, in pixels that are noise in neither of the two views.

    From each pose one random action leads to a next view. The model predicts its latent vector, a linear
    map paints that as a picture of 16 x 16 pixels, and squared errors (colors from 0 to 1) are averaged over
    the pixels that hold no noise: `model_error_clean`; over the others: `model_error_noise`. The map is
    fitted anew in each sweep, by ridge regression from the latent vectors of the real next views of one half
    of the poses, so that it follows an encoder that learns; errors are those of the other half.
    `painting_error_clean` is what it makes of the real latent vectors: the least that a perfect model has.

    `noise_angle` is 1 - cos(latent of a view, latent of the same view without noise): how much of the latent
    vector is noise. `forgetting` is how far the clean error has risen again in rooms that were entered in the
    first fifth of the run, see `Forgetting`.

    Args:
        poses: What `record_at_poses` returns.
        image: Name of the picture among the observations.
        encoder, every_steps, poses_per_turn: See `PoseSweep`.
        dynamics: Name of the agent's forward model.
        penalty: Of the regression.
    """

    title = "model error"

    def __init__(
        self,
        poses: Mapping[str, Array],
        image: str = "image",
        encoder: str = "encoder",
        dynamics: str = "dynamics",
        every_steps: int = 10_000,
        poses_per_turn: int = 16,
        penalty: float = 1e-3,
    ) -> None:
        super().__init__(poses, encoder, every_steps, poses_per_turn)
        self._dynamics_name = dynamics
        self._penalty = penalty
        self._forgetting = Forgetting()
        shown = f"next_observation.{image}"
        self._blind = self._blind or shown not in self._poses or "noise_mask" not in self._poses
        if not self._blind:
            self._pictures = shrunk(self._poses[shown] / 255.0)
            noisy = self._poses["noise_mask"] | self._poses["next_noise_mask"]
            self._clean = shrunk(noisy[..., None])[..., 0] == 0.0

    def on_step(self, turn: Turn) -> None:
        if not self._blind:
            self._forgetting.on_step(turn)
        super().on_step(turn)

    def encode(self, encoder: EncoderLike, first: int, last: int) -> dict[str, Tensor]:
        """See the base class."""
        view, following = (
            encoder.encode(self.fields(kind, first, last, encoder)) for kind in ("observation", "next_observation")
        )
        encoded = {"view": view, "latent": following}
        if "clean_observation.image" in self._poses:
            twin = encoder.encode(self.fields("clean_observation", first, last, encoder))
            encoded["angle"] = 1.0 - torch.nn.functional.cosine_similarity(view, twin, dim=-1)
        return encoded

    def look(self, turn: Turn, encoded: Mapping[str, Tensor], first: int, last: int) -> dict[str, Array]:
        """See the base class."""
        seen = {name: numbers(column) for name, column in encoded.items() if name != "view"}
        model, view = self._dynamics(turn), encoded["view"]
        if model is not None:
            action = torch.from_numpy(self._poses["action"][first:last]).to(view.device)
            seen["predicted"] = numbers(model(view, action, model.initial_state(len(view), view.device))[0])
        return seen

    def _dynamics(self, turn: Turn) -> DynamicsLike | None:
        try:
            module = turn.agent.model(self._dynamics_name).module
        except KeyError:
            return None
        return cast("DynamicsLike", module) if hasattr(module, "initial_state") else None

    def finish(self, columns: Mapping[str, Array]) -> dict[str, float]:
        """See the base class."""
        figures = {"noise_angle": float(columns["angle"].mean())} if "angle" in columns else {}
        if "predicted" not in columns or self._count < 4:
            return figures
        pictures = self._pictures.reshape(self._count, -1)
        painter = Ridge(columns["latent"][::2], pictures[::2], self._penalty)
        clean = self._clean[1::2]
        predicted, real = (
            ((painter(columns[name][1::2]) - pictures[1::2]) ** 2).reshape(*clean.shape, -1).mean(axis=-1)
            for name in ("predicted", "latent")
        )
        for name, errors, where in (
            ("model_error_clean", predicted, clean),
            ("model_error_noise", predicted, ~clean),
            ("painting_error_clean", real, clean),
        ):
            if where.any():
                figures[name] = float(errors[where].mean())
        if "room" in self._poses:
            lost = self._forgetting.measure(self._steps, room_errors(predicted, clean, self._poses["room"][1::2]))
            figures |= {} if lost is None else {"forgetting": lost}
        return figures


def shrunk(pictures: Array) -> Numbers:
    """Average `(n, height, width, channels)` down to about 16 x 16 pixels."""
    count, height, width, channels = pictures.shape
    tall, to_float32 = max(height // SIDE, 1), max(width // SIDE, 1)
    cut = pictures[:, : height // tall * tall, : width // to_float32 * to_float32]
    parts = cut.reshape(count, height // tall, tall, width // to_float32, to_float32, channels)
    means: Numbers = parts.mean(axis=(2, 4), dtype=np.float64)
    return means


def room_errors(errors: Numbers, clean: NDArray[np.bool_], rooms: NDArray[np.integer]) -> dict[int, float]:
    """Return the mean error over the clean pixels of each room's poses; rooms without any are left out."""
    found = {}
    for room in np.unique(rooms[rooms >= 0]).tolist():
        of_room = (rooms == room)[:, None, None] & clean
        if of_room.any():
            found[room] = float(errors[of_room].mean())
    return found
