"""Brings batches to where their module is trained."""

from __future__ import annotations

from typing import Any

from lightning.fabric import Fabric
from lightning.fabric.plugins import MixedPrecision, Precision

from pamiq_exp.lightning_loop.hooks import TRANSFER_HOOKS, Hooks


class BatchTransfer:
    """Brings batches to the device and precision of a module, by its own hooks where it has some.

    Args:
        fabric: Device and precision.
        hooks: Those of the module and its callbacks, all of them known.
    """

    def __init__(self, fabric: Fabric, hooks: Hooks) -> None:
        self._fabric, self._hooks = fabric, hooks
        self._precision: Precision = fabric.strategy.precision
        plain = fabric.device.type == "cpu" and type(self._precision) is Precision
        self._stays_as_it_is = plain and not TRANSFER_HOOKS & hooks.names

    def __call__(self, batch: Any) -> Any:
        """Return the batch where and as the module takes it, through the hooks in Lightning's order."""
        if self._stays_as_it_is:
            return batch
        hooks = self._hooks
        if not isinstance(self._precision, MixedPrecision):
            batch = self._precision.convert_input(batch)
        if "on_before_batch_transfer" in hooks:
            batch = hooks.call("on_before_batch_transfer", batch, 0)
        if "transfer_batch_to_device" in hooks:
            batch = hooks.call("transfer_batch_to_device", batch, self._fabric.device, 0)
        else:
            batch = self._fabric.to_device(batch)
        if "on_after_batch_transfer" in hooks:
            batch = hooks.call("on_after_batch_transfer", batch, 0)
        return batch
