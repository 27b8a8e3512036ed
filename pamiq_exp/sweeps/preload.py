"""What every job needs, imported once for all jobs of a process. Nothing here may start a thread or ask for a GPU."""

import gc
import signal
from contextlib import suppress
from importlib import import_module

from pamiq_exp.current_folder import forget_current_folder
from pamiq_exp.jobs.signals import STOPS
from pamiq_exp.trust import PART_PACKAGES

forget_current_folder()

# A signal to the whole process group must not end the server that the jobs come from: each job takes signals itself.
signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)

for name in ("jobs.job", "runtime", *PART_PACKAGES):
    with suppress(ImportError):  # the job that needs it will say so
        import_module(f"pamiq_exp.{name}")

# A job begins with a garbage collection, which would go through all of this and copy it.
gc.collect()
gc.freeze()
