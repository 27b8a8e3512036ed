"""The hooks that a LightningModule has of its own."""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Any

from lightning import LightningModule
from lightning.pytorch.utilities.signature_utils import is_param_in_hook_signature

from pamiq_exp.trainers.logged import LogRecorder

_HOOKS = (
    "prepare_data",
    "setup",
    "configure_model",
    "on_fit_start",
    "on_train_start",
    "on_train_epoch_start",
    "on_before_batch_transfer",
    "transfer_batch_to_device",
    "on_after_batch_transfer",
    "on_train_batch_start",
    "on_before_zero_grad",
    "optimizer_zero_grad",
    "on_before_backward",
    "backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "configure_gradient_clipping",
    "optimizer_step",
    "on_train_batch_end",
    "on_train_epoch_end",
    "on_train_end",
    "on_fit_end",
    "teardown",
    "on_save_checkpoint",
    "on_load_checkpoint",
)
TRANSFER_HOOKS = {"on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer"}
BACKWARD_HOOKS = {"on_before_backward", "backward", "on_after_backward"}


class Hooks:
    """Calls what a module overrides, and tells its recorder meanwhile where logged values come from."""

    def __init__(self, module: LightningModule, recorder: LogRecorder) -> None:
        self._methods = {hook: getattr(module, hook) for hook in _HOOKS if overrides(module, hook)}
        self._recorder = recorder

    @property
    def names(self) -> Set[str]:
        """The hooks that the module has."""
        return self._methods.keys()

    def __contains__(self, name: str) -> bool:
        return name in self._methods

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call the hook if the module has it."""
        method = self._methods.get(name)
        if method is None:
            return None
        recorder = self._recorder
        previous, recorder.hook = recorder.hook, name
        try:
            return method(*args, **kwargs)
        finally:
            recorder.hook = previous


def overrides(module: LightningModule, name: str) -> bool:
    """Whether the module has a method `name` other than LightningModule's own."""
    method = getattr(module, name)
    return getattr(method, "__func__", method) is not getattr(LightningModule, name)


def takes_index(step: Callable[..., Any]) -> bool:
    """Whether a `training_step` or `validation_step` wants the index of the batch beside the batch."""
    return is_param_in_hook_signature(step, "batch_idx", min_args=2)
