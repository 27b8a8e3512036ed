"""Weights & Biases, through its own client."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pamiq_exp.current_folder import elsewhere
from pamiq_exp.files import make_own_folder, read_text, write_atomically
from pamiq_exp.media import Media, Picture
from pamiq_exp.run_folder.records import Record, Value
from pamiq_exp.tracking.tracker import RunInfo, Tracker

if TYPE_CHECKING:
    import wandb

_log = logging.getLogger(__name__)

_RUN_ID = re.compile(r"[\w-]{1,64}")
_PATIENCE_SECONDS = 3.0
_INIT_SECONDS = 20.0  # an unreachable W&B has to show before the end of the run gives up on it

_SILENT = "WANDB_SILENT"
_MODE = "WANDB_MODE"

Mode = Literal["auto", "online", "offline", "disabled"]
_MODES = ("auto", "online", "offline", "disabled")
Wanted = Literal["online", "offline", "disabled"]
_WORDS: Mapping[str, Wanted] = {
    "online": "online",
    "run": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
}
"""What W&B takes `WANDB_MODE` for; `shared`, in which several processes write one run, is not supported here."""


class WandbSettingsError(ValueError):
    """The user's settings for W&B, such as WANDB_API_KEY, cannot be used; the message says why, in one line."""


class WandbTracker(Tracker):
    """Sends records and media to W&B, or keeps them in `wandb/` of the run folder for a later `wandb sync`.

    All communication with W&B is on threads of its own: a slow, unreachable or dying W&B delays nothing (but for a
    few seconds before the first step) and breaks nothing. The W&B run is an object of its own (never
    `wandb.run`), so that several runs of one process keep apart. A run that goes on from a checkpoint goes
    on with the same W&B run.

    Nothing is sent but records, media, config and tags: no code, no console output, no machine statistics.
    Where W&B lies and whose account is used comes from the user's own W&B settings, never from here.

    Args:
        project: W&B project.
        mode: `online`, `offline`, `disabled`, or `auto`: the value of `WANDB_MODE` if it is set, else online if
            an account is logged in (`WANDB_API_KEY` or `wandb login`), else offline.
        upload_media: Whether pictures and videos go to W&B too. None: unless they show what is the user's own, such as
            the frames of a camera (`RunInfo.private`).
        tags: Tags in addition to those of the run.
        finish_seconds: How long the end of the run waits for the last uploads.
    """

    detached = True

    def __init__(
        self,
        project: str = "pamiq_exp",
        mode: Mode = "auto",
        upload_media: bool | None = None,
        tags: Sequence[str] = (),
        finish_seconds: float = 30.0,
    ) -> None:
        if mode not in _MODES:
            raise ValueError(f"mode must be one of {', '.join(_MODES)}, not '{mode}'")
        self.project = project
        self.mode = mode
        self.upload_media = upload_media
        self.tags = tuple(tags)
        self.finish_seconds = finish_seconds
        self._opening: threading.Thread | None = None
        self._run: wandb.Run | None = None
        self._failed: BaseException | None = None
        self._given_up = False
        self._sends_media = False

    def start(self, run: RunInfo) -> None:
        self._sends_media = not run.private if self.upload_media is None else self.upload_media
        if self.mode == "disabled" or (self.mode == "auto" and mode_of_shell() == "disabled"):
            return
        import wandb  # noqa: F401 - in this thread: two that import it at once get in each other's way

        # Opening a run keeps the interpreter busy for half a second, so the run starts after it; but not if W&B
        # keeps us waiting.
        self._opening = threading.Thread(target=self._try_to_open, args=(run,), name="tracking-wandb-open", daemon=True)
        self._opening.start()
        self._opening.join(_PATIENCE_SECONDS)

    def write(self, record: Record) -> None:
        if run := self._open():
            run.log({name: value for name, value in record.items() if not isinstance(value, str)})

    def media(self, item: Media, path: Path, environment_step: int) -> None:
        if not self._sends_media or not (run := self._open()):
            return
        import wandb

        shown = wandb.Image(str(path)) if isinstance(item, Picture) else wandb.Video(str(path), format="mp4")
        run.log({f"media/{item.name}": shown, "environment_step": environment_step})

    def finish(self, exit_code: int, summary: Mapping[str, Value]) -> None:
        if not (run := self._open()):
            return
        try:
            run.summary.update(dict(summary))
            run.finish(exit_code=exit_code)
        except BaseException:
            self.give_up()
            raise

    def give_up(self) -> None:
        """End the W&B service of this process: one that does not answer would keep the process from ending."""
        if self._given_up:
            return
        self._given_up = True  # a hanging call that fails late must not end the service of the next run
        _end_service(only_if_dead=False)

    def _try_to_open(self, info: RunInfo) -> None:
        try:
            self._run = _open_run(self, info)
        except BaseException as error:
            self._failed = error

    def _open(self) -> wandb.Run | None:
        """Return the open run, or None if W&B is disabled. Raises if it could not be opened."""
        if self._opening is not None:
            self._opening.join()
        if self._failed is not None:
            raise ConnectionError(f"W&B could not be started: {self._failed}") from self._failed
        return self._run


def _open_run(tracker: WandbTracker, info: RunInfo) -> wandb.Run | None:
    try:
        mode = resolve_mode(tracker.mode)
    except WandbSettingsError as error:
        _log.warning("W&B cannot be used (%s): this run is kept offline; `wandb sync` sends it later", error)
        mode = "offline"
    if mode == "disabled":
        return None
    if mode == "online":
        try:
            return _init(tracker, info, "online")
        except Exception as error:
            _log.warning("W&B cannot be reached (%s): this run is kept offline; `wandb sync` sends it later", error)
            return _init(tracker, info, "offline", fresh=True)  # the client keeps the id of a failed start in use
    else:
        # Otherwise the client reports its own errors to its makers, and offline means: no network.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    return _init(tracker, info, "offline")


def _init(tracker: WandbTracker, info: RunInfo, mode: Literal["online", "offline"], fresh: bool = False) -> wandb.Run:
    import wandb

    _end_service(only_if_dead=True)
    with contextlib.suppress(WandbSettingsError):  # offline needs no key, and online `init` says the same
        logged_in()  # reads the user's settings, before `init` would do it
    run_id, known = _run_id(info.folder, fresh)
    settings = wandb.Settings(
        mode=mode,
        init_timeout=_INIT_SECONDS,
        silent=True,
        console="off",
        disable_code=True,
        save_code=False,
        disable_git=True,
        disable_job_creation=True,
        use_dot_wandb=False,
        symlink=False,
        x_disable_stats=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
        finish_timeout=max(1.0, tracker.finish_seconds - 5.0),
    )
    run = wandb.init(
        project=tracker.project,
        dir=info.folder,
        id=run_id,
        resume="allow" if known else None,  # asking W&B for a run that it cannot have costs a connection
        reinit="create_new",
        name=info.name,
        group=info.group,
        job_type=info.experiment_name,
        tags=[*info.tags, *tracker.tags],
        config={**info.config},
        settings=settings,
    )
    with contextlib.suppress(AttributeError):
        # The client reports what is imported while a run is open, from within that import: with a service that
        # has died, `import torch` would fail.
        run._unregister_telemetry_import_hooks(run_id)
    run.define_metric("*", step_metric="environment_step")
    if mode == "online" and run.url:
        write_atomically(info.folder / "wandb" / "run_url.txt", run.url + "\n")  # reports link to it
    return run


def _end_service(only_if_dead: bool) -> None:
    """Kill and forget the W&B service of this process, so that the next run starts another."""
    with contextlib.suppress(Exception):
        from wandb.sdk import wandb_setup

        setup = wandb_setup.singleton()
        connection = setup._connection
        if connection is None or connection._proc is None:
            return
        process = connection._proc._process
        if only_if_dead and process.poll() is None:
            return
        setup._connection = None
        os.environ.pop("WANDB_SERVICE", None)
        if connection._cleanup is not None:
            connection._cleanup()
        process.kill()


def _run_id(folder: Path, fresh: bool) -> tuple[str, bool]:
    """Return the W&B id of this run folder, and whether the folder had it before: the same after a resume."""
    path = folder / "wandb" / "run_id.txt"
    with contextlib.suppress(OSError):
        known = read_text(path, within=folder, most=1000).strip()
        if _RUN_ID.fullmatch(known) and not fresh:
            return known, True
    run_id = uuid.uuid4().hex[:12]
    make_own_folder(path.parent)
    write_atomically(path, run_id + "\n")
    return run_id, False


def mode_of_shell() -> Wanted | None:
    """Return what `WANDB_MODE` is set to; None if it is not set.

    Raises:
        ValueError: It is no word of W&B's, or one that is not supported.
    """
    word = os.environ.get(_MODE, "")
    if not word:
        return None
    if word not in _WORDS:
        raise ValueError(f"WANDB_MODE is '{word}'; set it to one of {', '.join(_WORDS)}, or unset it")
    return _WORDS[word]


def resolve_mode(mode: Mode) -> Wanted:
    """Return what `auto` means for this user: see `WandbTracker`. Raises ValueError as `mode_of_shell` does."""
    if mode != "auto":
        return mode
    return mode_of_shell() or ("online" if logged_in() else "offline")


def logged_in() -> bool:
    """Whether W&B credentials are at hand, by W&B's own rules. Asks for no input and opens no connection.

    W&B sets itself up with this: from the environment and the user's own files, but not from `wandb/settings` of the
    current folder, which could send the user's key to another server. It is silent in this process from then on: else
    it would ask its server for the name to greet. An empty WANDB_MODE, which W&B refuses, counts as none.

    Raises:
        WandbSettingsError: A key or an address in them is malformed.
    """
    import wandb
    from pydantic import ValidationError  # W&B checks its settings with it

    before = {name: os.environ.get(name) for name in (_SILENT, _MODE)}
    os.environ[_SILENT] = "true"
    if not before[_MODE]:
        os.environ.pop(_MODE, None)
    try:
        with elsewhere("wandb", ".wandb"):
            return bool(wandb.login(prompt=False, verify=False))
    except ValidationError as error:
        wrong = error.errors()[0]
        name = "_".join(("wandb", *map(str, wrong["loc"]))).upper()
        raise WandbSettingsError(f"{name} is '{wrong['input']}': {wrong['msg']}") from error
    except wandb.Error as error:
        raise WandbSettingsError(str(error).rstrip(".")) from error
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
