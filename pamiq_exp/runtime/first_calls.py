"""Traces or compiles inference copies before a run begins, so that its first turns do not wait for it."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray

from pamiq_exp.component import set_up, tear_down
from pamiq_exp.interaction import Agent, Environment, InferencePort
from pamiq_exp.runtime.dry_run_data import DryRunData
from pamiq_exp.runtime.run_state import global_generators, restore_global_generators
from pamiq_exp.spaces import ArraySpec

logger = logging.getLogger(__name__)

_VERSIONS = (0, 0, 1)
"""The version that models seem to have in each step: rewards compare two steps, and some encode again after a
publication."""


class FirstCalls:
    """Takes a few steps of a copy of the agent, on generated observations: what it calls is traced then.

    The agent itself, its generators and collectors, the environment and the global generators stay as they are. What
    the copy does not call, say a reward that waits for a warm-up, is traced when the agent calls it first.

    Args:
        agent: Copied as it is, before it is attached.
    """

    def __init__(self, agent: Agent[Any, Any]) -> None:
        self._agent: Agent[Any, Any] | None = None
        try:
            self._agent = copy.deepcopy(agent)
        except Exception as error:
            _report(f"{type(agent).__name__} cannot be copied ({error})")

    def make(
        self,
        environment: Environment,
        models: Mapping[str, InferencePort],
        fields: Mapping[str, Mapping[str, ArraySpec]],
    ) -> None:
        """Take the steps. Call it once, where nothing trains and no turn is taken.

        Args:
            environment: Only its spaces are used.
            models: As the agent uses them.
            fields: Of each buffer.
        """
        agent, self._agent = self._agent, None
        if agent is None:
            return
        ports = {name: _Port(port) for name, port in models.items()}
        data, generators = DryRunData(environment), global_generators()
        try:
            agent.attach(ports, {name: _Collector(each) for name, each in fields.items()})
            set_up(agent)
            with torch.no_grad():
                for version in _VERSIONS:
                    for port in ports.values():
                        port.version = version
                    agent.step(data.observation(ended=False))
            tear_down(agent)
        except Exception as error:
            _report(f"a copy of the agent raised {type(error).__name__}: {error}")
        finally:
            restore_global_generators({"generators": generators})


class _Port:
    """A model as the agent uses it, of any version."""

    def __init__(self, port: InferencePort) -> None:
        self._port = port
        self.version = 0

    @property
    def module(self) -> Any:
        return self._port.module

    def __call__(self, *args: Any) -> Any:
        return self._port(*args)


class _Collector:
    """Takes transitions and forgets them."""

    def __init__(self, fields: Mapping[str, ArraySpec]) -> None:
        self.fields = fields

    def collect(self, record: Mapping[str, NDArray[Any]]) -> None:
        return


def _report(reason: str) -> None:
    logger.info("inference is made quick in the first turns, which take longer: %s", reason)
