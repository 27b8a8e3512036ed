"""Taking a run again by its trace, to the same bits.

The config is composed again from what the run has kept, validated like any other, and built with an environment that
shows what was recorded; the real one is not built. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pamiq_exp.config import ConfigError, ErrorDetail, Experiment, build_experiment
from pamiq_exp.files import open_file, parse_json, read_json
from pamiq_exp.jobs.drift import changes_of_files, changes_of_versions
from pamiq_exp.jobs.preflight import refuse
from pamiq_exp.jobs.request import Request, print_message
from pamiq_exp.jobs.resume import KeptConfig
from pamiq_exp.run_folder import file_names

if TYPE_CHECKING:
    from pamiq_exp.runtime.trace.reading import RecordedTrace
    from pamiq_exp.runtime.trace.replay import Replay

_MOST_RECORD_BYTES = 1 << 34
_SHOWN_FILES = 10


@dataclass(frozen=True)
class ReplayRequest:
    """What is to be taken again.

    Attributes:
        folder: The run folder.
        until: The turn before which to stop, counted from 0; None goes on to the end.
    """

    folder: Path
    until: int | None = None


def open_replay(wanted: ReplayRequest, request: Request) -> Replay:
    """Return the replay of a run, whose parts are built and not yet set up; print what has changed since the run.

    A run that was resumed has a trace for each of its starts. The newest is taken, or the one that holds `until`.

    Raises:
        ConfigError: The run has no trace, or its config cannot be built.
        TraceError: The trace is damaged, or was written by another version.
    """
    from pamiq_exp.runtime.trace.replay import Parts, Replay, ReplayedEnvironment

    trace, following = _choose_trace(wanted)
    kept = KeptConfig.read(wanted.folder)
    composed = kept.compose()
    changes = [*_changes(wanted.folder, trace), *(_edited(kept, request) if kept.is_complete else ())]
    if changes:
        lines = ["since the run, which may make the replay differ:", *(f"  {line}" for line in changes)]
        print_message("\n".join(lines))
    [validated] = refuse([composed], request.allow, dry_run=False)
    experiment: Experiment = build_experiment(validated, environment=ReplayedEnvironment(trace.header["spaces"]))
    parts = Parts(experiment.interaction, experiment.models, experiment.buffers, experiment.trainers)
    records = _records(wanted.folder, trace.steps, following)
    return Replay(trace, parts, experiment.launch_config, records)


def _choose_trace(wanted: ReplayRequest) -> tuple[RecordedTrace, int | None]:
    """Return a trace, and the environment step at which the next one begins."""
    from pamiq_exp.runtime.trace.reading import RecordedTrace, find_traces

    folders = find_traces(wanted.folder)
    if not folders:
        hint = "a run keeps one with launcher.trace=true; see docs/guides/real_time.md"
        raise ConfigError(ErrorDetail("", f"{wanted.folder} holds no trace", hint))
    following = None
    for folder in reversed(folders):
        trace = RecordedTrace(folder)
        if wanted.until is None or trace.turns_before < wanted.until or folder == folders[0]:
            return trace, following
        following = trace.steps
    raise AssertionError("the first trace is taken for everything")


def _changes(folder: Path, trace: RecordedTrace) -> Iterator[str]:
    """Yield what differs from the run: versions, our code, processor, Python."""
    from pamiq_exp.run_folder import machine
    from pamiq_exp.run_folder.manifest import source_digests

    yield from (line for line in changes_of_versions(folder) if "code of pamiq_exp" not in line)
    sources, now = trace.header.get("sources"), source_digests(Path(__file__).parents[1])
    if isinstance(sources, dict):
        changed = sorted(name for name in {*sources, *now} if sources.get(name) != now.get(name))
        if changed:
            shown = ", ".join(map(str, changed[:_SHOWN_FILES])) + (", ..." if len(changed) > _SHOWN_FILES else "")
            yield f"the code of pamiq_exp: {shown}"
    try:
        manifest = read_json(folder / file_names.MANIFEST)
    except OSError:
        return
    before = manifest.get("machine") if isinstance(manifest, dict) else None
    for name in ("cpu", "python"):
        if isinstance(before, dict) and before.get(name) != machine()[name]:
            yield f"{name}: {before.get(name)} -> {machine()[name]}"


def _edited(kept: KeptConfig, request: Request) -> Iterator[str]:
    if edited := changes_of_files(kept.composition, request.source):
        yield f"edited, and taken as they were: {', '.join(edited)}"


def _records(folder: Path, first: int, following: int | None) -> Iterator[Mapping[str, Any]]:
    """Yield the records of a run that lie beyond the step `first`, and not beyond `following`."""
    path = folder / file_names.METRICS
    try:
        with open_file(path, within=folder, most=_MOST_RECORD_BYTES) as file:
            for line in file:
                record = parse_json(line)
                step = record.get("environment_step") if isinstance(record, dict) else None
                in_range = isinstance(step, int) and first < step and (following is None or step <= following)
                if isinstance(record, dict) and in_range:
                    yield record
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        print_message(f"the records end early: {error}")
