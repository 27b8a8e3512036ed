"""Taking a run again by its trace, to the same bits.

The config is composed again from what the run has kept, validated like any other, and built with an environment that
shows what was recorded; the real one is not built. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pamiq_exp.config import ConfigError, ErrorDetail, Experiment, build_experiment
from pamiq_exp.files import open_file, parse_json
from pamiq_exp.jobs.drift import CODE_CHANGED, changes_of_files, changes_of_versions
from pamiq_exp.jobs.preflight import refuse
from pamiq_exp.jobs.request import Request, print_message
from pamiq_exp.jobs.resume import KeptConfig
from pamiq_exp.run_folder.file_names import MANIFEST, METRICS
from pamiq_exp.run_folder.reader import read_mapping

if TYPE_CHECKING:
    from pamiq_exp.runtime.trace.reading import RecordedTrace
    from pamiq_exp.runtime.trace.replay import Replay

_MOST_RECORD_BYTES = 1 << 34
_SHOWN_FILES = 10


def open_replay(folder: Path, until: int | None, request: Request) -> Replay:
    """Return the replay of a run, whose parts are built and not yet set up; print what has changed since the run.

    A run that was resumed has a trace for each of its starts. The newest is taken, or the one that holds `until`.

    Args:
        folder: The run folder.
        until: The turn before which to stop, counted from 0; None goes on to the end.
        request: What else was typed: packages that may be named.

    Raises:
        ConfigError: The run has no trace, or its config cannot be built.
        TraceError: The trace is damaged, or was written by another version.
    """
    from pamiq_exp.runtime.parts import Parts
    from pamiq_exp.runtime.trace.replay import Replay, ReplayedEnvironment

    trace, following = _choose_trace(folder, until)
    kept = KeptConfig.read(folder)
    composed = kept.compose()
    changes = [*_changes(folder, trace), *(_edited(kept, request) if kept.is_complete else ())]
    if changes:
        lines = ["since the run, which may make the replay differ:", *(f"  {line}" for line in changes)]
        print_message("\n".join(lines))
    [validated] = refuse([composed], request.allow, dry_run=False)
    experiment: Experiment = build_experiment(validated, environment=ReplayedEnvironment(trace.header["spaces"]))
    parts = Parts(experiment.interaction, experiment.models, experiment.buffers, experiment.trainers)
    records = _records(folder, trace.steps, following)
    return Replay(trace, parts, experiment.launch_config, records)


def _choose_trace(run: Path, until: int | None) -> tuple[RecordedTrace, int | None]:
    """Return a trace, and the environment step at which the next one begins."""
    from pamiq_exp.runtime.trace.reading import RecordedTrace, find_traces

    folders = find_traces(run)
    if not folders:
        hint = "a run keeps one with launcher.trace=true; see docs/guides/real_time.md"
        raise ConfigError(ErrorDetail("", f"{run} holds no trace", hint))
    following = None
    for folder in reversed(folders):
        trace = RecordedTrace(folder)
        if until is None or trace.turns_before < until or folder == folders[0]:
            return trace, following
        following = trace.steps
    raise AssertionError("the first trace is taken for everything")


def _changes(folder: Path, trace: RecordedTrace) -> Iterator[str]:
    """Yield what differs from the run: versions, our code by its files, processor, Python."""
    from pamiq_exp.run_folder.manifest import source_digests

    yield from (line for line in changes_of_versions(read_mapping(folder, MANIFEST, [])) if line != CODE_CHANGED)
    sources, now = trace.header.get("sources"), source_digests(Path(__file__).parents[1])
    if isinstance(sources, dict):
        changed = sorted(name for name in {*sources, *now} if sources.get(name) != now.get(name))
        if changed:
            shown = ", ".join(map(str, changed[:_SHOWN_FILES])) + (", ..." if len(changed) > _SHOWN_FILES else "")
            yield f"{CODE_CHANGED}: {shown}"


def _edited(kept: KeptConfig, request: Request) -> Iterator[str]:
    if edited := changes_of_files(kept.composition, request.source):
        yield f"edited, and taken as they were: {', '.join(edited)}"


def _records(folder: Path, first: int, following: int | None) -> Iterator[Mapping[str, Any]]:
    """Yield the records of a run that lie beyond the step `first`, and not beyond `following`."""
    path = folder / METRICS
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
