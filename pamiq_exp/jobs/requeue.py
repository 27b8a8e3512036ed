"""`run ... --resume` of a single run: the same command line begins a run, goes on with it, and ends when it is done.

So a cluster that stops a job and puts it back into its queue needs no other command for the second attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pamiq_exp.config import ConfigError, Problem
from pamiq_exp.config.hydra_loader import is_hydras
from pamiq_exp.jobs.request import Request, say
from pamiq_exp.run_folder import RunFolder, RunFolderError, file_names, mask_secrets


def go_on(folder: Path | None, request: Request) -> int | None:
    """Go on with the run in `folder` and return its exit status; None if there is nothing to go on with.

    Args:
        folder: The run folder that was typed.
        request: The command line.

    Raises:
        ConfigError: No folder was typed, it holds the run of another command, or the run cannot go on.
    """
    if folder is None:
        hint = "name the folder of the run (hydra.run.dir=FOLDER), or use: python -m pamiq_exp resume RUN"
        raise ConfigError(Problem("--resume", "which run? Its folder is named after the time it begins", hint))
    if not (folder / file_names.MANIFEST).exists():
        return None
    from pamiq_exp.cli.resume import overrides_of, resume_run
    from pamiq_exp.jobs.job import newest_whole

    typed = [word for word in request.overrides if not is_hydras(word)]
    masked: Sequence[str] = mask_secrets(typed)
    kept = overrides_of(folder)
    if kept != masked:
        hint = f"to change it: python -m pamiq_exp resume {folder} key=value; or choose another folder"
        message = f"{folder} holds a run of another command: {' '.join(kept) or 'without overrides'}"
        raise ConfigError(Problem("--resume", message, hint))
    try:
        run = RunFolder(folder)
        with run.owned():  # a run that goes on elsewhere is told before anything is read
            state = run.read_manifest().get("state")
    except RunFolderError as error:
        raise ConfigError(Problem("--resume", str(error))) from error
    if state == "finished":
        say(f"{folder} has finished already: there is nothing left to do")
        return 0
    checkpoint = newest_whole(folder)
    if checkpoint is None:
        return None
    secrets = [word for word, shown in zip(typed, masked, strict=True) if word != shown]  # no run folder keeps them
    return resume_run(folder, [*secrets, f"resume.checkpoint={checkpoint.name}"], request)
