"""What every job needs, imported once for all jobs of a process. Nothing here may start a thread or ask for a GPU."""

from contextlib import suppress
from importlib import import_module

from pamiq_exp.config.allow_list import ROOMS
from pamiq_exp.current_folder import forget_current_folder

forget_current_folder()
for name in ("cli._job", "runtime", *ROOMS):
    with suppress(ImportError):  # the job that needs it will say so
        import_module(f"pamiq_exp.{name}")
