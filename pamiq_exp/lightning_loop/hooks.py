"""The hooks of a LightningModule and of the callbacks that it brings along."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from lightning import LightningModule
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping
from lightning.pytorch.utilities.signature_utils import is_param_in_hook_signature
from torch import Tensor

from pamiq_exp.lightning_loop.hook_names import HOOKS
from pamiq_exp.lightning_loop.log_recorder import LogRecorder

_WITHOUT_EFFECT = ("train_dataloader", "val_dataloader")

TRANSFER_HOOKS = {"on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer"}


class Hooks:
    """Calls what a module and its callbacks override, and lets the recorder know which hook logs meanwhile.

    Callbacks come before the module; those that stop or save by a logged value come after it where an epoch ends.

    Args:
        module: The module.
        recorder: Takes what is logged.
    """

    def __init__(self, module: LightningModule, recorder: LogRecorder) -> None:
        self.module = module
        self.recorder = recorder
        self.callbacks: list[Callback] = []
        self._methods: dict[str, Callable[..., Any]] = {
            hook.name: getattr(module, hook.name) for hook in HOOKS if overrides(module, hook.name)
        }
        self._of_callbacks: dict[str, list[tuple[Callback, Callable[..., Any]]]] = {}
        for name in _WITHOUT_EFFECT:
            if overrides(module, name):
                warnings.warn(
                    f"{type(module).__name__}.{name} is not called: the data come from the buffer of its trainer",
                    stacklevel=2,
                )

    def add_callbacks(self, callbacks: Sequence[Callback] | Callback, trainer: object) -> None:
        """Call these callbacks from now on, with `trainer` as their trainer."""
        self.callbacks = [callbacks] if isinstance(callbacks, Callback) else list(callbacks)
        for callback in self.callbacks:
            for hook in (each.name for each in HOOKS if each.of_callbacks):
                method = getattr(callback, hook)
                if getattr(method, "__func__", method) is not getattr(Callback, hook):
                    called = (callback, partial(method, trainer, self.module))
                    self._of_callbacks.setdefault(hook, []).append(called)

    @property
    def names(self) -> set[str]:
        """The hooks that the module or a callback has."""
        return self._methods.keys() | self._of_callbacks.keys()

    def __contains__(self, name: str) -> bool:
        return name in self._methods or name in self._of_callbacks

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call the hook wherever it is overridden; return what the module's own returns."""
        method, of_callbacks = self._methods.get(name), self._of_callbacks.get(name, ())
        if method is None and not of_callbacks:
            return None
        recorder = self.recorder
        previous, recorder.hook = recorder.hook, name
        late = [called for called in of_callbacks if name == "on_train_epoch_end" and _monitors(called[0])]
        try:
            for called in of_callbacks:
                if called not in late:
                    called[1](*args, **kwargs)
            result = None if method is None else method(*args, **kwargs)
            for called in late:
                called[1](*args, **kwargs)
            return result
        finally:
            recorder.hook = previous


def _monitors(callback: Callback) -> bool:
    return isinstance(callback, (EarlyStopping, Checkpoint))


def overrides(module: LightningModule, name: str) -> bool:
    """Whether the module has a method `name` other than LightningModule's own."""
    method = getattr(module, name)
    return getattr(method, "__func__", method) is not getattr(LightningModule, name)


def takes_index(step: Callable[..., Any]) -> bool:
    """Whether a `training_step` or `validation_step` wants the index of the batch beside the batch."""
    return is_param_in_hook_signature(step, "batch_idx", min_args=2)


def step_outputs(returned: Any) -> dict[str, Any]:
    """Return what a step returned in the form in which hooks and the optimizer's closure want it."""
    if isinstance(returned, Tensor):
        return {"loss": returned}
    return {} if returned is None else dict(returned)
