"""Base class of trainers of one LightningModule on one buffer."""

# The annotations of the fields below are evaluated here: subclasses in other files inherit them.

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pamiq_exp.buffers import Batch, DataBuffer, DataUser
from pamiq_exp.component import State
from pamiq_exp.lightning_loop import GradientSettings, LightningDriver, TrainingPlan
from pamiq_exp.lightning_loop.gradients import ClipAlgorithm
from pamiq_exp.publishable import Publishable
from pamiq_exp.seeding import torch_generator
from pamiq_exp.trainers.interventions import Intervention
from pamiq_exp.trainers.trainer import Trainer, TrainingContext

logger = logging.getLogger(__name__)

_MANY_SKIPPED = 50
"""Consecutive skipped batches of which a run is warned."""


@dataclass(eq=False, repr=False)
class ModuleTrainer(Trainer):
    """Base class of trainers that train one model with the data of one buffer. One round is one epoch of the module.

    Subclasses are dataclasses as well: their arguments follow those of this one, and `__post_init__` prepares them.

    A module that needs other models while it trains (a frozen encoder, say) has a method
    `attach_models(models)`, which is called once with all training modules by name; it must not keep them
    as submodules. A module that cannot train yet has a property `trainable`: while it is false its trainer
    is not ready.

    Args:
        model: Name of the model.
        buffer: Name of the buffer.
        seed: For drawing batches.
        max_rounds: Rounds after which this trainer is done; None for no end.
        max_grad_norm: Largest norm (or absolute value) of the gradient; None does not clip.
        gradient_clip_algorithm: "norm" or "value".
        accumulate_grad_batches: Batches whose gradients are gathered for one step of the optimizer.
        interventions: What is done to the module beside the steps of its optimizers: `ReDo`, `ShrinkAndPerturb`,
            `L2Init`.
    """

    model: str
    buffer: str
    seed: int = field(default=0, kw_only=True)
    max_rounds: int | None = field(default=None, kw_only=True)
    max_grad_norm: float | None = field(default=None, kw_only=True)
    gradient_clip_algorithm: ClipAlgorithm = field(default="norm", kw_only=True)
    accumulate_grad_batches: int = field(default=1, kw_only=True)
    interventions: Sequence[Intervention] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        self.trains = (self.model,)
        self.rounds = 0
        """Rounds begun in this run."""
        self._gradients = GradientSettings(
            self.max_grad_norm, self.gradient_clip_algorithm, self.accumulate_grad_batches
        )
        self._generator = torch_generator(self.seed)
        self._skipped_now = 0
        """Batches skipped since the last one that was not."""
        self._skipped_longest = 0
        self._user: DataUser | None = None
        self._driver: LightningDriver | None = None

    def attach(self, context: TrainingContext) -> None:
        """See `Trainer.attach`. Raises ValueError or TypeError for a module or buffer that does not suit."""
        module = context.model(self.model)
        if isinstance(module, Publishable):
            raise TypeError(
                f"{type(self).__name__} trains modules of Lightning, and the model {self.model!r} is a "
                f"{type(module).__name__}: choose a trainer of its framework, such as JaxOnPolicyTrainer"
            )
        self._user = context.user(self.buffer)
        self.check_buffer(self._user.buffer)
        attach_models = getattr(module, "attach_models", None)
        if callable(attach_models):
            attach_models(context.models)
        gradients = replace(self._gradients, on_nonfinite=context.on_nonfinite)
        plan = self.plan(context.max_steps, self._user.num_envs)
        self._driver = LightningDriver(self.model, module, context.fabric, gradients, plan, context.group)
        for intervention in self.interventions:
            intervention.begin(module)

    def check_buffer(self, buffer: DataBuffer) -> None:
        """Raise ValueError or TypeError if this trainer cannot work with the buffer; called by `attach`."""

    def plan(self, max_steps: int | None, num_envs: int) -> TrainingPlan | None:
        """How long training will be in a run of `max_steps` environment steps; None if this trainer does not know."""
        return None

    @property
    def driver(self) -> LightningDriver:
        """Drives the module. Raises RuntimeError before `attach`."""
        if self._driver is None:
            raise RuntimeError(f"the trainer of {self.model!r} is not attached yet; the launcher calls attach(context)")
        return self._driver

    @property
    def user(self) -> DataUser:
        """The training end of the buffer. Raises RuntimeError before `attach`."""
        if self._user is None:
            raise RuntimeError(f"the trainer of {self.model!r} is not attached yet; the launcher calls attach(context)")
        return self._user

    @property
    def training_step(self) -> int:
        """See `Trainer.training_step`."""
        return self.driver.batches

    @property
    def trainable(self) -> bool:
        """Whether the module can be trained now; one without the property `trainable` always can."""
        return bool(getattr(self.driver.module, "trainable", True))

    @property
    def finished(self) -> bool:
        """Whether all rounds have been made, or the module asked for the end (`trainer.should_stop`)."""
        all_made = self.max_rounds is not None and self.rounds >= self.max_rounds
        return all_made or self.driver.should_stop

    def state(self) -> State:
        """See `Component.state`."""
        return {"rounds": self.rounds, "skipped_now": self._skipped_now, "skipped_longest": self._skipped_longest}

    def load_state(self, state: State) -> None:
        """See `Component.load_state`."""
        self.rounds = state["rounds"]
        self._skipped_now, self._skipped_longest = state["skipped_now"], state["skipped_longest"]

    def summary(self) -> dict[str, float]:
        """How many batches were skipped, in all and in a row; warns if nothing was learned at the end."""
        driver = self.driver
        if not driver.skipped_steps:
            return {}
        if self._skipped_now and (self._skipped_now >= _MANY_SKIPPED or self._skipped_longest == driver.batches):
            logger.warning(
                "the run ends while the model '%s' learns nothing: its last %d batches were all skipped",
                self.model,
                self._skipped_now,
            )
        return {
            f"{self.model}_skipped_steps": driver.skipped_steps,
            f"{self.model}_skipped_in_a_row": self._skipped_longest,
        }

    def train_batch(self, batch: Batch, last: bool) -> dict[str, float]:
        """Train on one batch; return what the module logged, loss, learning rate, and what happened to the gradient."""
        driver = self.driver
        rates = {
            "learning_rate" if index == 0 else f"learning_rate_{index}": float(optimizer.param_groups[0]["lr"])
            for index, optimizer in enumerate(driver.optimizers)
        }
        stopped = driver.should_stop
        metrics = driver.train_batch(batch, last) | rates
        self._count_skipped()
        if driver.skipped is None:
            for intervention in self.interventions:
                intervention.after_batch(driver.module, driver.optimizers, driver.batches)
        if driver.should_stop and not stopped:
            logger.info("the model '%s' set trainer.should_stop: it is not trained any more", self.model)
        if driver.loss is not None:
            metrics.setdefault("loss", driver.loss)
        if driver.gradient_norm is not None:
            metrics["gradient_norm"] = driver.gradient_norm
        if driver.skipped_steps:
            metrics["skipped_steps"] = driver.skipped_steps
        return metrics

    def _count_skipped(self) -> None:
        if self.driver.skipped is None:
            if self._skipped_now >= _MANY_SKIPPED:
                logger.warning(
                    "the model '%s' learns again, after %d batches that were skipped", self.model, self._skipped_now
                )
            self._skipped_now = 0
            return
        self._skipped_now += 1
        self._skipped_longest = max(self._skipped_longest, self._skipped_now)
        if self._skipped_now == _MANY_SKIPPED:
            logger.warning(
                "the model '%s' learns nothing: %d batches in a row were skipped; of the newest one %s. Look at "
                "what the environment shows and pays, and lower the learning rate if it has diverged",
                self.model,
                self._skipped_now,
                self.driver.skipped,
            )
