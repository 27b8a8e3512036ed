"""What only building shows: every constructor is called and the parts are tried on each other, before anything runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pamiq_exp.config.build import Builder, Postponed, seeded
from pamiq_exp.config.checks.allow_list import AllowList
from pamiq_exp.config.checks.static import PARTS
from pamiq_exp.config.compose import Composed
from pamiq_exp.config.environment import Begun, begin
from pamiq_exp.config.errors import ConfigError, ErrorDetail, nearest, words_of
from pamiq_exp.config.interaction_wrappers import WRAPPERS, without_wrappers
from pamiq_exp.config.shape_errors import LayerError, failing_layer
from pamiq_exp.config.tree_paths import join, leaves, parent, parts_of, select
from pamiq_exp.config.unused_keys import UnusedKeys
from pamiq_exp.formatting import bytes_text
from pamiq_exp.machine import physical_memory

if TYPE_CHECKING:
    from torch import nn

    from pamiq_exp.runtime.dry_run import DryRunResult, Fault

logger = logging.getLogger(__name__)

SKIP_FLAG = "--no-dry-run"
"""What a user types to leave the dry run out."""

GROUPS = {"model": "models", "buffer": "buffers"}


@dataclass
class Validated:
    """What a validation has found.

    Attributes:
        composed: The config.
        allow: What it may name.
        errors: All that is wrong, each with what set its key; a config with errors cannot be built.
        warnings: What may be wrong, or due to the generated data of the dry run.
        tree: The config as the dry run has built it; empty without a dry run.
        measured: What the dry run has measured, if it came to that.
    """

    composed: Composed
    allow: AllowList
    errors: list[ErrorDetail] = field(default_factory=list)
    warnings: list[ErrorDetail] = field(default_factory=list)
    tree: Mapping[str, Any] = field(default_factory=dict)
    measured: DryRunResult | None = None


def perform_dry_run(found: Validated) -> None:
    """Build the parts of a config, try them on each other, and throw them away (see `runtime.dry_run`).

    Call it when nothing else is wrong with the config. The environment is closed in every case.
    """
    composed = found.composed
    builder = Builder(found.allow, unread=UnusedKeys(composed.tree) if composed.is_put_together else None)
    try:
        begun = begin(composed, builder)
        try:
            _require_going_on(begun)
            with _one_thread():
                found.warnings += _clock_warnings(begun)
                found.measured = _DryRunner(builder, begun, found).run()
        finally:
            _close(begun.environment)
        found.tree = begun.tree
    except ConfigError as error:
        found.errors += error.errors


def _require_going_on(begun: Begun) -> None:
    """Raise ConfigError for environments that wait for their agent where learning is to delay it."""
    from pamiq_exp.runtime.sequential import require_going_on

    if begun.tree["launcher"].get("mode") != "sequential":
        return
    try:
        require_going_on(begun.environment)
    except ValueError as error:
        raise ConfigError(ErrorDetail("launcher.mode", str(error).removeprefix("launcher.mode: "))) from error


def _clock_warnings(begun: Begun) -> list[ErrorDetail]:
    """Return what does not fit in a run by a virtual clock of an environment that goes by the wall clock."""
    mode = begun.tree["launcher"].get("mode")
    if mode not in ("lockstep", "pipelined") or not (begun.environment.live or begun.environment.free_running):
        return []
    message = (
        f"{mode} counts turns by a virtual clock, and this environment goes on by the wall clock: "
        "two runs differ, and the clocks of records and environment drift apart"
    )
    hint = "launcher=realtime, or launcher=sequential to let learning delay the turns"
    return [ErrorDetail("launcher.mode", message, hint)]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Have torch use one thread: for four turns and a batch, waking others costs more than they do."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _close(environment: Any) -> None:
    from pamiq_exp.component import tear_down

    try:
        tear_down(environment)
    except Exception:
        logger.warning("the environment of the dry run could not be closed", exc_info=True)


class _DryRunner:
    """One config whose environment has been built.

    Args:
        builder: Builds its parts.
        begun: The environment, and the config without anything left to fill in.
        found: Takes what is found.
    """

    def __init__(self, builder: Builder, begun: Begun, found: Validated) -> None:
        self.builder = builder
        self.hurried = Builder(builder.allow, for_dry_run=True, unread=builder.unread)
        self.environment = begun.environment
        self.tree = begun.tree
        self.errors, self.warnings = found.errors, found.warnings

    def run(self) -> DryRunResult | None:
        given = ("environment", "observers")
        self.errors += self.builder.errors(without_wrappers(self.tree["interaction"]), "interaction", given)
        for group in PARTS:
            self.errors += self.builder.errors(self.tree.get(group), group)
        models = None if self.errors else self._build_models()
        if models is None:
            return None
        others = {name: self._build_group(name) for name in PARTS if name != "models"}
        buffers, trainers = others["buffers"], others["trainers"]
        interaction = self._build("interaction", without_wrappers(self.tree["interaction"]))
        if self.errors:
            return None
        self.errors += _beyond_memory(buffers)
        if self.errors:  # a dry run would write to all of that memory
            return None
        from pamiq_exp.runtime.dry_run import dry_run_parts

        launcher = self.tree.get("launcher", {})
        run = (launcher.get("max_steps"), launcher.get("devices", 1))
        result = dry_run_parts(self.environment, interaction.agent, models, buffers, trainers, others["metrics"], *run)
        for fault in result.faults:
            self._explain(fault, models)
        self._note_unused(result)
        if (unread := self.builder.unread) is not None:
            for name in WRAPPERS:
                unread.leave_out(f"interaction.{name}")  # went into the environment already: see `begin`
            self.errors += unread.errors()
        return result

    def _note_unused(self, result: DryRunResult) -> None:
        """Report the parts that nothing has asked for; classes of the user's own may do so later."""
        found = self.errors if result.only_shipped else self.warnings
        message = "nothing uses it" if result.only_shipped else "nothing has used it in the dry run"
        for group, names, use in (
            ("models", result.unused_models, "name it where it is to be used or trained"),
            ("buffers", result.unused_buffers, "have a trainer read it"),
        ):
            for name in names:
                found.append(
                    ErrorDetail(join(group, name), message, f"leave it out ({join(group, name)}=null), or {use}")
                )

    def _build_group(self, group: str) -> dict[str, Any]:
        built = {name: self._build(join(group, name), node) for name, node in parts_of(self.tree, group).items()}
        found = {name: part for name, part in built.items() if part is not None}
        if not found:
            return found
        from pamiq_exp.runtime.dry_run import kinds_of

        kinds = kinds_of(group)
        self.errors += [
            ErrorDetail(
                join(group, name), f"expected a {kinds[0].__name__}, not {type(part).__name__}", "name another class"
            )
            for name, part in found.items()
            if not isinstance(part, kinds)
        ]
        return found

    def _build(self, key: str, node: object) -> Any:
        given = {"environment": self.environment, "observers": {}} if key == "interaction" else {}
        builder = self.hurried if key.startswith(("trainers.", "metrics.")) else self.builder
        try:
            with seeded(self.tree["seed"], key), _quick_initialization():
                return builder.build(node, key, given)
        except Postponed:
            if builder.unread is not None:
                builder.unread.leave_out(key)
            return None
        except ConfigError as error:
            self.errors += error.errors
            return None

    def _build_models(self) -> dict[str, Any] | None:
        """Build the models, or report that they take more than is allowed."""
        from pamiq_exp.config.allocation import MOST_TENSORS, ROOM, TooLarge, at_most
        from pamiq_exp.runtime.frameworks import parameter_count

        most = self.tree["launcher"].get("max_parameters")
        for limit in (most, None if most is None else max(most, ROOM)):  # what takes room may be no parameter
            try:
                with at_most(limit):
                    built = self._build_group("models")
                if most is not None and not self.errors:  # what is no model has no parameters
                    self.errors += _more_than(most, {name: parameter_count(each) for name, each in built.items()})
                return built
            except TooLarge as error:
                if error.tensors:
                    message = f"the models make more than {MOST_TENSORS:,} tensors"
                    self.errors.append(ErrorDetail("models", message, "make them smaller: fewer layers, or copies"))
                    return None
                counts = self._count_parameters()
                if sum(counts.values()) > most:
                    self.errors.append(_too_many(counts, most))
                    return None
        message = f"the models make more than {max(most, ROOM):,} numbers that are no parameters"
        self.errors.append(ErrorDetail("models", message, "make them smaller, or raise launcher.max_parameters"))
        return None

    def _count_parameters(self) -> dict[str, int]:
        """Count parameters where they take no memory."""
        import torch

        from pamiq_exp.runtime.frameworks import parameter_count

        counts: dict[str, int] = {}
        for name, node in parts_of(self.tree, "models").items():
            # Its errors are reported when it is built for the run.
            with suppress(Exception), seeded(0, ""), _quick_initialization(), torch.device("meta"):
                model = self.builder.build(node, join("models", name))
                counts[name] = parameter_count(model)
        return counts

    def _explain(self, fault: Fault, models: Mapping[str, nn.Module]) -> None:
        """Turn what a part raised in the dry run into errors of the keys that are to blame, or into a warning."""
        written = [each for each in fault.perhaps if self._key_of(fault.part, each[1]) != fault.part]
        for kind, name in (*fault.missing, *written):
            there = parts_of(self.tree, GROUPS[kind])
            hint = nearest(name, there, listing="there are") or f"declare it below {GROUPS[kind]}"
            self.errors.append(ErrorDetail(self._key_of(fault.part, name), f"there is no {kind} '{name}'", hint))
        if fault.missing:
            return
        failure = failing_layer(fault.error, models) if isinstance(fault.error, RuntimeError) else None
        if failure is not None and (failure.takes is not None or not fault.uncertain):
            self.errors.append(self._sizes(fault, failure))
        else:
            (self.warnings if fault.uncertain else self.errors).append(self._plain(fault))

    def _plain(self, fault: Fault) -> ErrorDetail:
        words = words_of(fault.error).strip() or type(fault.error).__name__
        kind = "" if isinstance(fault.error, (ValueError, KeyError)) else f"{type(fault.error).__name__}: "
        if not fault.uncertain:
            return ErrorDetail(fault.part, f"{kind}{words}", "(in the dry run)")
        hint = f"(in the dry run, whose data are made up within the declared bounds; {SKIP_FLAG} leaves it out)"
        return ErrorDetail(fault.part, f"{type(fault.error).__name__}: {words}", hint)

    def _key_of(self, part: str, value: str) -> str:
        """The key in the node of a part, or in the models it attaches, that holds a name."""
        nodes = [part, "interaction.agent", "models"] if part.startswith("trainers.") else [part]
        for address in nodes:
            with suppress(KeyError):
                for key, leaf in leaves(select(self.tree, address), address):
                    if leaf == value and not key.endswith("_target_"):
                        return key
        return part

    def _sizes(self, fault: Fault, failure: LayerError) -> ErrorDetail:
        """Explain what a layer raised: which one it was, and which two sizes do not agree."""
        sizes = {key: value for key, value in leaves(self.tree.get("models"), "models") if type(value) is int}
        own = {key: size for key, size in sizes.items() if key.startswith(f"models.{failure.model}.")}
        for key, size in own.items():
            for other, fitting in _others(sizes, failure.model, key):
                if failure.would_fit(key, size, other, fitting):
                    message = f"is {size}, {parent(other)} gives {fitting}: {failure.message}"
                    return ErrorDetail(key, message, f"write {key}: ${{{other}}}")
        return ErrorDetail(f"models.{failure.model}", f"{failure.message} (in the dry run of {fault.part})")


def _more_than(most: int, counts: Mapping[str, int]) -> Iterator[ErrorDetail]:
    """Yield an error for more parameters than allowed. Models of other frameworks make theirs later."""
    if sum(counts.values()) > most:
        yield _too_many(counts, most)


def _too_many(counts: Mapping[str, int], most: int) -> ErrorDetail:
    largest = max(counts, key=lambda name: counts[name])
    total = sum(counts.values())
    message = f"has {counts[largest]:,} parameters, all models {total:,}; launcher.max_parameters is {most:,}"
    return ErrorDetail(join("models", largest), message, "make it smaller, or raise the limit")


@contextmanager
def _quick_initialization() -> Iterator[None]:
    """Leave orthogonal matrices out: making them takes half of the time, and no value matters here."""
    from torch import nn

    orthogonal = nn.init.orthogonal_
    nn.init.orthogonal_ = lambda tensor, *_, **__: tensor
    try:
        yield
    finally:
        nn.init.orthogonal_ = orthogonal


def _others(sizes: Mapping[str, int], model: str, key: str) -> list[tuple[str, int]]:
    """Sizes of other models, those of the same name first."""
    last = key.rpartition(".")[2]
    found = [(each, size) for each, size in sizes.items() if not each.startswith(f"models.{model}.")]
    return sorted(found, key=lambda pair: (pair[0].rpartition(".")[2] != last, pair[0].count(".")))


def _beyond_memory(buffers: Mapping[str, Any]) -> Iterator[ErrorDetail]:
    """Yield the buffer that is largest if all together would not fit into this machine."""
    machine = physical_memory()
    sizes = {name: buffer.nbytes for name, buffer in buffers.items()}
    if machine is not None and sum(sizes.values()) > machine:
        largest = max(sizes, key=lambda name: sizes[name])
        message = f"takes {bytes_text(sizes[largest])} when full; this machine has {bytes_text(machine)} of memory"
        yield ErrorDetail(join("buffers", largest), message, "give it a smaller capacity")
