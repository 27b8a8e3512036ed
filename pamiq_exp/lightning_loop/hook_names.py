"""The hooks of Lightning that are called: who may have them, and what `self.log` does in them by default."""

from __future__ import annotations

from typing import Literal, NamedTuple

Logging = Literal["step", "epoch", "validation"]


class Hook(NamedTuple):
    """One hook.

    Attributes:
        name: Its name.
        of_callbacks: Whether callbacks have it as well as modules.
        logging: What a value logged in it belongs to by default: to a step, to an epoch, or to the epoch of a
            validation batch. None where logging is an error.
    """

    name: str
    of_callbacks: bool = True
    logging: Logging | None = None


HOOKS = (
    Hook("setup"),
    Hook("on_fit_start"),
    Hook("on_train_start", logging="epoch"),
    Hook("on_train_epoch_start", logging="epoch"),
    Hook("on_train_batch_start", logging="step"),
    Hook("on_before_zero_grad", logging="step"),
    Hook("on_before_backward", logging="step"),
    Hook("on_after_backward", logging="step"),
    Hook("on_before_optimizer_step", logging="step"),
    Hook("on_train_batch_end", logging="step"),
    Hook("on_train_epoch_end", logging="epoch"),
    Hook("on_validation_start", logging="epoch"),
    Hook("on_validation_epoch_start", logging="epoch"),
    Hook("on_validation_batch_start", logging="validation"),
    Hook("on_validation_batch_end", logging="validation"),
    Hook("on_validation_epoch_end", logging="epoch"),
    Hook("on_validation_end"),
    Hook("on_train_end"),
    Hook("on_fit_end"),
    Hook("teardown"),
    Hook("on_save_checkpoint"),
    Hook("on_load_checkpoint"),
    Hook("prepare_data", of_callbacks=False),
    Hook("configure_model", of_callbacks=False),
    Hook("on_before_batch_transfer", of_callbacks=False),
    Hook("transfer_batch_to_device", of_callbacks=False),
    Hook("on_after_batch_transfer", of_callbacks=False),
    Hook("optimizer_zero_grad", of_callbacks=False, logging="step"),
    Hook("backward", of_callbacks=False, logging="step"),
    Hook("configure_gradient_clipping", of_callbacks=False, logging="step"),
    Hook("optimizer_step", of_callbacks=False, logging="step"),
    Hook("on_validation_model_zero_grad", of_callbacks=False),
    Hook("on_validation_model_eval", of_callbacks=False),
    Hook("on_validation_model_train", of_callbacks=False),
)

LOGGING: dict[str, Logging] = {
    "training_step": "step",
    "validation_step": "validation",
    **{hook.name: hook.logging for hook in HOOKS if hook.logging is not None},
}
"""What a value logged in a method belongs to by default; in methods that are not named here logging is an error."""
