"""What every job needs, imported once for all jobs of a process. Nothing here may start a thread or ask for a GPU."""

import pamiq_exp.agents
import pamiq_exp.buffers
import pamiq_exp.cli._job
import pamiq_exp.environments
import pamiq_exp.metrics
import pamiq_exp.models
import pamiq_exp.rewards
import pamiq_exp.runtime
import pamiq_exp.tracking
import pamiq_exp.trainers  # noqa: F401
