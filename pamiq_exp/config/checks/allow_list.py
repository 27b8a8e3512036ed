"""Which classes and functions a config may name in `_target_`.

A config is data: it chooses among parts that are allowed. A name is checked twice, as text before anything is
imported, and as the object it turned out to be: an alias inside an allowed module leads nowhere.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points

from pamiq_exp.trust import PART_PACKAGES, module_of

ENVIRONMENT_VARIABLE = "PAMIQ_EXP_ALLOW"
ENTRY_POINT_GROUP = "pamiq_exp.targets"

THIRD_PARTY: Mapping[str, frozenset[str]] = {
    "gymnasium.wrappers": frozenset({"gymnasium.core.Wrapper"}),
    "minigrid.wrappers": frozenset({"gymnasium.core.Wrapper"}),
    "torch.nn": frozenset({"torch.nn.modules.module.Module"}),
    "torch.optim": frozenset({"torch.optim.optimizer.Optimizer", "torch.optim.lr_scheduler.LRScheduler"}),
}
"""Modules of other packages, and the base classes that a class found in them must have."""

LOGGERS = "lightning.pytorch.loggers"
EXACTLY: Mapping[str, str] = {
    f"{LOGGERS}.CSVLogger": "lightning.pytorch.loggers.csv_logs.CSVLogger",
    f"{LOGGERS}.TensorBoardLogger": "lightning.pytorch.loggers.tensorboard.TensorBoardLogger",
}
"""Single classes of other packages, and what they are. Loggers that talk to servers are not among them."""

REQUIRED_BASE: Mapping[str, str] = {
    "recording": "pamiq_exp.interaction.observer.StepObserver",
    "tracking": "pamiq_exp.tracking.tracker.Tracker",
}
"""Packages of ours that also hold what writes files, and the base class that parts of experiments have there."""

WRITES_FILES = ("gymnasium.wrappers.rendering",)
"""Modules below those whose classes write where their arguments say."""

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def is_dotted_name(text: object) -> bool:
    """Whether `text` could be the address of a Python object."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def _below(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


def _identity(found: object) -> str:
    return f"{getattr(found, '__module__', '?')}.{getattr(found, '__qualname__', '?')}"


@dataclass(frozen=True)
class AllowList:
    """The targets that configs may name: this package's parts, chosen others, and what the user trusts.

    Args:
        trusted: Prefixes of the user's own packages; everything below them may run.
    """

    trusted: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for prefix in self.trusted:
            if not is_dotted_name(prefix):
                raise ValueError(f"cannot allow {prefix!r}: give the name of a package or module, such as my_package")

    @classmethod
    def of_user(cls, prefixes: Iterable[str] = ()) -> AllowList:
        """Return the list of this user: `prefixes`, the variable PAMIQ_EXP_ALLOW, and installed entry points.

        The variable holds prefixes with commas between them; a package announces itself by an entry point of the
        group `pamiq_exp.targets` whose value is its name. A package may be called by the name under which it is
        installed (`highway-env`). Raises ValueError for what is no dotted name.
        """
        from_variable = os.environ.get(ENVIRONMENT_VARIABLE, "").split(",")
        from_packages = [point.value for point in entry_points(group=ENTRY_POINT_GROUP)]
        given = [prefix.strip().removesuffix(".*") for prefix in (*prefixes, *from_variable, *from_packages)]
        return cls(tuple(dict.fromkeys(module_of(prefix) for prefix in given if prefix)))

    def permits_name(self, target: str) -> bool:
        """Whether this name may be imported at all."""
        prefixes = (*self.trusted, *(f"pamiq_exp.{package}" for package in PART_PACKAGES), *THIRD_PARTY)
        return is_dotted_name(target) and (target in EXACTLY or any(_below(target, prefix) for prefix in prefixes))

    def is_foreign_logger(self, target: str) -> bool:
        """Whether a permitted name is a logger that would write where its arguments say."""
        return _below(target, LOGGERS) and not any(_below(target, prefix) for prefix in self.trusted)

    def permits_object(self, found: object) -> bool:
        """Whether the object that a permitted name led to may be called."""
        if not (inspect.isclass(found) or inspect.isroutine(found)):
            return False
        home = _identity(found)
        if any(_below(home, prefix) for prefix in self.trusted):
            return True
        for package in PART_PACKAGES:
            if _below(home, f"pamiq_exp.{package}"):
                return _is_part(found, package)
        if not inspect.isclass(found) or any(_below(home, prefix) for prefix in WRITES_FILES):
            return False
        if home in EXACTLY.values():
            return True
        bases = {_identity(base) for base in found.__mro__}
        return any(_below(home, prefix) and not bases.isdisjoint(required) for prefix, required in THIRD_PARTY.items())

    def hint(self, target: str) -> str:
        """Return what to do when `target` is refused."""
        package = target.split(".", maxsplit=1)[0]
        if package in sys.stdlib_module_names:
            return "Python's own functions are not for configs"
        if package in ("pamiq_exp", "torch", "lightning", "gymnasium"):
            packages = [f"pamiq_exp.{package}" for package in PART_PACKAGES]
            return f"allowed are the classes of {', '.join([*packages, *THIRD_PARTY, *EXACTLY])}"
        ways = f"{ENVIRONMENT_VARIABLE}={package}, or an entry point of the package in the group {ENTRY_POINT_GROUP}"
        return f"if you trust the package, allow it: --allow {package} (or {ways})"


def _is_part(found: object, package: str) -> bool:
    """Whether a class or function of a package of ours is for configs: helpers and private names are not."""
    name = str(getattr(found, "__name__", "_"))
    base = REQUIRED_BASE.get(package)
    if not inspect.isclass(found):
        if base is not None:
            return False
        public = import_module(f"pamiq_exp.{package}")
        return name in getattr(public, "__all__", ()) and getattr(public, name) is found
    return not name.startswith("_") and (base is None or base in {_identity(each) for each in found.__mro__})
