# ruff: noqa: E501 - one input a line
"""Malicious run folders, exported files, sweep files, config folders, pictures and videos.

Functions write them into a folder. `outside` is a folder beside it with private files: `secret.txt`, whose text must
not appear anywhere, and `target.txt`, which must not change.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import yaml

SECRET = "bait-0123456789abcdef"
ESCAPE = "\x1b[2J\x1b]0;gone\x07"

Make: TypeAlias = Callable[[Path, Path], object]
"""Makes something hostile of a folder; the second argument is the folder outside."""


def laughs(levels: int = 9) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    return "\n".join(lines + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]) + "\n"


TEXTS: Mapping[str, bytes] = {
    "laughs": laughs().encode(),
    "brackets": b"[" * 200_000,
    "nested": b"[" * 500 + b"]" * 500,
    "indentation": b"- " * 3000 + b"x",
    "binary": bytes(range(256)) * 50,
    "cut": b'{"state": "runn',
    "empty": b"",
    "utf16": "a: 1".encode("utf-16"),
    "digits": b"a: " + b"9" * 100_000,
    "base sixty": b"a: 1" + b":59" * 200_000,
    "hexadecimal": b"a: 0x" + b"f" * 100_000,
    "empty number": b"a: !!int ''\n",
    "empty float": b"a: !!float ''\n",
    "no truth": b"a: !!bool x\n",
    "bytes": b"a: !!binary L2V0Yw==\n",
    "no time": b"a: !!timestamp x\n",
    "python": b"a: !!python/object/apply:os.system ['touch marker']\n",
    "python name": b"a: !!python/name:os.system\n",
    "too large": b"a: b\n" * 300_000,
    "a list": b"[1, 2, 3]",
    "a word": b"hello",
    "null": b"null",
    "huge float": b'{"a": 1e999}',
    "escape": f'a: "{ESCAPE.encode("unicode_escape").decode()}"\n'.encode(),
}
"""Invalid content of any file."""

FILES = ("manifest.json", "config.yaml", "overrides.yaml", "composition.yaml", "summary.json", "metrics.jsonl")


def run_folder(folder: Path) -> None:
    """Write what a small run leaves behind."""
    config = {
        "experiment_name": "sent", "seed": 0, "launcher": {"max_steps": 10},
        "interaction": {"_target_": "pamiq_exp.interaction.Interaction", "agent": {"_target_": "pamiq_exp.agents.RandomAgent"}},
    }  # fmt: skip
    manifest = {"schema": 1, "experiment_name": "sent", "seed": 0, "state": "finished", "reason": "max_steps",
                "versions": {"torch": "2.0"}, "command": ["pamiq_exp"]}  # fmt: skip
    composition = {"name": "config", "overrides": ["experiment=minimum"], "files": {"config": "seed: 0\n"}}
    (folder / "media").mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "overrides.yaml").write_text("[experiment=minimum]\n")
    (folder / "composition.yaml").write_text(yaml.safe_dump(composition))
    (folder / "summary.json").write_text('{"steps": 10, "return_mean": 1.5}')
    (folder / "metrics.jsonl").write_text(
        '{"source": "interaction", "environment_step": 10, "interaction/reward": 1.0}\n'
    )


def _content(name: str, content: bytes, folder: Path, outside: Path) -> None:
    (folder / name).write_bytes(content)


def _link(name: str, to: str, folder: Path, outside: Path) -> None:
    path = folder / name
    if path.is_dir():
        path.rmdir()
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(to.format(outside=outside))


def _pipe(name: str, folder: Path, outside: Path) -> None:
    (folder / name).unlink(missing_ok=True)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(folder / name)


def _folder(name: str, folder: Path, outside: Path) -> None:
    (folder / name).unlink(missing_ok=True)
    (folder / name).mkdir()


def _json(name: str, changes: Mapping[str, object], folder: Path, outside: Path) -> None:
    tree = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(tree | changes))


def _lines(lines: list[str], folder: Path, outside: Path) -> None:
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")


def _yaml(name: str, tree: object, folder: Path, outside: Path) -> None:
    text = yaml.safe_dump(tree).replace("{outside}", str(outside))
    (folder / name).write_text(text)


def _sparse(name: str, folder: Path, outside: Path) -> None:
    with open(folder / name, "wb") as file:
        file.truncate(1 << 40)


def _header(length: int, text: bytes) -> bytes:
    return struct.pack("<Q", length) + text


def _map(header: bytes, folder: Path, outside: Path) -> None:
    (folder / "checkpoints" / "step_000000001").mkdir(parents=True)
    (folder / "checkpoints" / "step_000000001" / "metrics.safetensors").write_bytes(header)


def _deep(folder: Path, outside: Path) -> None:
    (folder / "manifest.json").unlink()
    (folder / "overrides.yaml").unlink()
    path = folder
    for _ in range(300):
        path = path / "d"
    path.mkdir(parents=True)


ODD: Mapping[str, dict[str, object]] = {
    "a state that is a list": {"state": ["running"]},
    "a state with escape codes": {"state": ESCAPE, "reason": ESCAPE, "experiment_name": ESCAPE},
    "a name outside of the folder": {"experiment_name": "../../outside/target"},
    "a name without end": {"experiment_name": "x" * 500_000},
    "a seed that is a text": {"seed": "0'; DROP"},
    "half a character": {"experiment_name": "\ud800", "reason": "\udc00", "command": ["\ud83d"]},
    "a seed without end": {"seed": 10**300},
    "versions that are a list": {"versions": [1, 2], "machine": 3, "threads": "many", "code": "x", "sessions": 5},
    "a command that is a number": {"command": 5},
    "a command that ends its fence": {"command": ["```", "x", "\n# heading", "[a](javascript:alert(1))"]},
    "markup": {"experiment_name": "<script>alert(1)</script>", "reason": "<img src=x onerror=alert(1)>"},
    "untracked files that are numbers": {"code": {"commit": 3, "dirty": True, "untracked": 7}},
}

RECORDS: Mapping[str, list[str]] = {
    "brackets in a record": ["[" * 200_000],
    "a record of one metric": ['{"a/b": 1}'],
    "a source that is a list": ['{"source": [1], "a/b": 1}', '{"source": {}, "a/b": 2}'],
    "metrics that are lists": ['{"source": "a", "environment_step": [1, 2], "a/b": [1, 2]}'] * 2,
    "metrics of many types": [
        '{"source": "a", "a/b": "x"}',
        '{"source": "a", "a/b": null}',
        '{"source": "a", "a/b": {}}',
    ],
    "an endless number": ['{"source": "a", "a/b": ' + "9" * 100_000 + "}"],
    "a metric that is too large": ['{"source": "a", "a/b": 1e999}', '{"source": "a", "a/b": -1e999}'],
    "very many metrics": ["{" + ",".join(f'"a/{n}": 1' for n in range(20_000)) + "}", '{"a/0": 1}'],
    "other metrics in each record": [f'{{"source": "a", "a/{n}": 1}}' for n in range(5000)],
    "a metric with the name of a path": ['{"source": "a", "environment_step": 1, "../../outside/target": 1.0}'],
    "a metric with an endless name": ['{"source": "a", "environment_step": 1, "a/' + "n" * 200_000 + '": 1.0}'],
    "steps that are no numbers": [
        '{"source": "a", "environment_step": NaN, "wall_seconds": Infinity, "a/b": NaN}',
        '{"source": "a", "environment_step": null, "wall_seconds": "x", "a/b": true}',
    ],
    "steps that go back": [f'{{"source": "a", "environment_step": {10**18 - n}, "a/b": 1}}' for n in range(100)],
    "a line without end": ['{"source": "' + "a" * 900_000 + '"}'],
    "nothing but line breaks": ["\n" * 500_000],
    "markup in metrics": ['{"source": "a", "environment_step": 1, "a/<script>$\\\\input{/etc/passwd}$": 1.0}'],
}

RUNS: dict[str, Make] = {
    **{f"{name}: {kind}": partial(_content, name, text)
       for index, name in enumerate(FILES) for number, (kind, text) in enumerate(TEXTS.items())
       if (index + number) % 2 == 0 or kind in ("laughs", "brackets", "binary", "cut")},
    **{f"{name}: a link to a device": partial(_link, name, "/dev/zero") for name in FILES},
    **{f"{name}: a link out": partial(_link, name, "{outside}/secret.txt") for name in FILES},
    **{f"{name}: a pipe": partial(_pipe, name) for name in FILES},
    **{f"{name}: a file without end": partial(_sparse, name) for name in FILES},
    **{f"{name}: a folder": partial(_folder, name) for name in ("metrics.jsonl", "log.txt", "console.sock")},
    **{f"{name}: a circle": partial(_link, name, name) for name in FILES[:2]},
    **{f"{name}: a link out": partial(_link, name, "{outside}/target.txt") for name in ("log.txt", "code.diff")},
    **{f"{name}: a folder elsewhere": partial(_link, name, "{outside}") for name in ("media", "checkpoints", "wandb")},
    "media: a link out": partial(_link, "media/a_1.png", "{outside}/secret.txt"),
    "media: a link to a device": partial(_link, "media/a_1.mp4", "/dev/zero"),
    "media: a pipe": partial(_pipe, "media/a_1.png"),
    "media: a text": partial(_content, "media/a_1.png", SECRET.encode()),
    "media: a name": partial(_content, f"media/{ESCAPE.replace('/', '')}<b>_1.png", b"\x89PNG\r\n\x1a\n"),
    "wandb: an address": partial(_link, "wandb/run_url.txt", "{outside}/secret.txt"),
    **{name: partial(_json, "manifest.json", changes) for name, changes in ODD.items()},
    **{name: partial(_lines, lines) for name, lines in RECORDS.items()},
    "metrics that are no numbers": partial(_json, "summary.json", {"steps": "x", "return_mean": [1], "coverage": {}, "": 1}),
    "metrics that are not finite": partial(
        _content, "summary.json", b'{"steps": NaN, "training_steps": Infinity, "return_mean": -Infinity, "seed": NaN}'),
    "times that never were": partial(_json, "manifest.json", {
        "state": "running", "started": "9999-12-31T23:59:59+99:99", "ended": 1e300, "sessions": [{"started": -1e300}]}),
    "a metric above all floats": partial(_json, "summary.json", {"return_mean": 10**300, "steps": 10**305}),
    "a metric with a formula as its name": partial(_json, "summary.json", {"=cmd|' /C calc'!A0": 1.0, "return_mean": 2.0}),
    "overrides that are mappings": partial(_yaml, "overrides.yaml", [{"a": 1}, ["b"], None, 1.5]),
    "an override with a formula": partial(_yaml, "overrides.yaml", ["reward==cmd|' /C calc'!A0", "seed=!!int ''"]),
    "overrides that set up Hydra": partial(_yaml, "overrides.yaml", ["hydra.run.dir={outside}", "hydra/launcher=joblib"]),
    "a composition that sets up Hydra": partial(_yaml, "composition.yaml", {
        "name": "config", "overrides": ["hydra.job.chdir=true", "hydra.run.dir={outside}"], "files": {"config": ""}}),
    "a composition with paths outside of the folder": partial(_yaml, "composition.yaml", {
        "name": "../../outside/target", "overrides": [], "files": {"../../outside/target": "x: 1"}}),
    "a composition that names classes": partial(_yaml, "composition.yaml", {
        "name": "config", "overrides": [], "files": {"config": "interaction: {_target_: os.system, command: touch marker}"}}),
    "a composition of words without end": partial(_yaml, "composition.yaml", {
        "name": "config", "files": {"config": "shared: {}"},
        "overrides": [f"+shared.a{n}=[{','.join(['1'] * 500)}]" for n in range(600)]}),
    "a composition of a word that nests": partial(_yaml, "composition.yaml", {
        "name": "config", "overrides": ["shared=" + "{a:" * 1000], "files": {"config": "shared: {}"}}),
    "a composition of expressions without end": partial(_yaml, "composition.yaml", {
        "name": "config", "overrides": [], "files": {
            "config": "defaults: [" + ", ".join(f"g{n}: x" for n in range(9)) + "]\nseed: 0\n",
            **{f"g{n}/x": f"shared: '${{oc.select:seed,[{'1,' * 1900}1]}}'\n" * 1
               + "".join(f"s{m}: '${{oc.select:seed,[{'1,' * 1900}1]}}'\n" for m in range(20)) for n in range(9)}}}),
    "a config that sets up Hydra": partial(_yaml, "config.yaml", {"hydra": {"run": {"dir": "{outside}"}}, "experiment_name": "x"}),
    "a config of places": partial(_yaml, "config.yaml", {
        "experiment_name": "x", "environment": {"path": "{outside}/secret.txt"}, "paths": {"outputs": "{outside}"}}),
    "folders without end": _deep,
    "a map without end": partial(_map, _header(1 << 62, b"{}")),
    "a map of brackets": partial(_map, _header(100_000, b"[" * 100_000)),
    "a map that is larger than it is": partial(_map, _header(
        91, b'{"m.visited": {"dtype": "BOOL", "shape": [100000, 100000], "data_offsets": [0, 10000000000]}}')),
    "a map before its beginning": partial(_map, _header(
        75, b'{"m.visited": {"dtype": "BOOL", "shape": [1, 1], "data_offsets": [-99, 1]}}')),
    "a map of texts": partial(_map, _header(76, b'{"m.visited": {"dtype": "BOOL", "shape": ["a", 1], "data_offsets": [0, 1]}}')),
}  # fmt: skip


TRACE_HEADER: Mapping[str, object] = {
    "trace": 1, "seed": 0, "steps": 0, "turns": 0, "checkpoint": False, "sources": {},
    "spaces": {"observation": {"vector": {"shape": [4], "dtype": "float32", "low": -1.0, "high": 1.0}}, "num_envs": 2,
               "action": {"kind": "discrete", "shape": [1], "dtype": "int64", "nvec": [2]}},
}  # fmt: skip


def trace_folder(folder: Path, header: Mapping[str, object] = TRACE_HEADER, *blocks: object) -> None:
    """Write a trace into a run folder, with blocks of turns (mappings) and of events (lists)."""
    from pamiq_exp.runtime.trace.blocks import BlockFile

    place = folder / "trace" / "000000000"
    place.mkdir(parents=True, exist_ok=True)
    for name in ("turns", "training"):
        (place / name).unlink(missing_ok=True)
        file = BlockFile(place / name)
        file.write_json(
            {key: value for key, value in header.items() if name == "turns" or key not in ("spaces", "sources")}
        )
        for block in blocks:
            if isinstance(block, dict) and name == "turns":
                file.write_arrays(block)
            if isinstance(block, list) and name == "training":
                file.write_json(block)
        file.close()


def _turns(**changes: object) -> dict[str, object]:
    flags = np.zeros((3, 2), np.bool_)
    columns = {
        "version": np.zeros(3, np.int64), "reward": np.zeros((3, 2), np.float32), "terminated": flags, "truncated": flags,
        "observation.vector": np.zeros((3, 2, 4), np.float32), "action": np.zeros((3, 2, 1), np.int64),
    }  # fmt: skip
    return {name: value for name, value in (columns | changes).items() if value is not None}


def _spaces(changes: Mapping[str, object]) -> Mapping[str, object]:
    spaces = TRACE_HEADER["spaces"]
    assert isinstance(spaces, dict)
    return {**TRACE_HEADER, "spaces": {**spaces, **changes}}


def _traced(header: Mapping[str, object], blocks: Callable[[], list[object]], folder: Path, outside: Path) -> None:
    trace_folder(folder.parents[1], header, *blocks())


def _array(name: str, shape: tuple[int, ...], dtype: str) -> list[object]:
    return [_turns(**{name: np.zeros(shape, dtype)})]


def _box(shape: list[object], dtype: str = "float32") -> Mapping[str, object]:
    return _spaces({"observation": {"vector": {"shape": shape, "dtype": dtype}}})


TRACES: dict[str, Make] = {
    **{f"turns: {kind}": partial(_content, "turns", text) for kind, text in TEXTS.items()},
    "turns: a link out": partial(_link, "turns", "{outside}/secret.txt"),
    "turns: a link to a device": partial(_link, "turns", "/dev/zero"),
    "training: a pipe": partial(_pipe, "training"),
    "training: a file without end": partial(_sparse, "training"),
    "spaces without end": partial(_traced, _box([100_000, 100_000]), list),
    "spaces of negative size": partial(_traced, _box([-1]), list),
    "spaces of objects": partial(_traced, _box([4], "O"), list),
    "spaces of texts": partial(_traced, _box(["a"]), list),
    "no environments": partial(_traced, _spaces({"num_envs": "many"}), list),
    "very many environments": partial(_traced, _spaces({"num_envs": 10**12}), list),
    "an action of an unknown kind": partial(_traced, _spaces({"action": {"kind": "x"}}), list),
    "a seed that is a text": partial(_traced, {**TRACE_HEADER, "seed": "x"}, list),
    "events that are none": partial(_traced, TRACE_HEADER, lambda: [[["fetch"], 3, {}]]),
    "a fetch of everything": partial(_traced, TRACE_HEADER, lambda: [[["fetch", 0, {"replay": [[0, 10**300]]}]]]),
    "a fetch of less than nothing": partial(_traced, TRACE_HEADER, lambda: [[["fetch", 0, {"replay": [[0, -5]]}]]]),
    "a round of no trainer": partial(_traced, TRACE_HEADER, lambda: [[["round", "nothing", "x", None]]]),
    "a round with generators of texts": partial(_traced, TRACE_HEADER, lambda: [[["round", "x", "x", {"torch": "zz"}]]]),
    "a publication of nothing": partial(_traced, TRACE_HEADER, lambda: [[["publish", 10**300, 1, ["x"], "", ""]]]),
    "turns without observations": partial(_traced, TRACE_HEADER, lambda: [_turns(**{"observation.vector": None})]),
    "turns of other sizes": partial(_traced, TRACE_HEADER, lambda: _array("observation.vector", (3, 2, 5), "float32")),
    "rewards of others": partial(_traced, TRACE_HEADER, lambda: _array("reward", (3, 7), "float32")),
    "a checkpoint elsewhere": lambda folder, outside: (
        trace_folder(folder.parents[1], {**TRACE_HEADER, "checkpoint": True}), _link("start", "{outside}", folder, outside)),
}  # fmt: skip
"""What may be sent as the trace of a run; each is made in `trace/000000000` of a run folder."""


def _sweep_plan(changes: Mapping[str, object]) -> bytes:
    plan: dict[str, object] = {"schema": 1, "words": [], "command": [], "experiment_name": "sent", "jobs": [["seed=0"]],
                               "expected": 1}  # fmt: skip
    return json.dumps(plan | changes).encode()


PLANS: dict[str, bytes] = {
    **{f"plan: {kind}": text for kind, text in TEXTS.items()},
    "plan: jobs that are numbers": _sweep_plan({"jobs": [1, 2]}),
    "plan: a key of its own": _sweep_plan({"__class__": "x"}),
    "plan: jobs without end": _sweep_plan({"expected": 10**300}),
    "plan: a metric that is a list": _sweep_plan({"metric": ["a"]}),
    "plan: a metric with escape codes": _sweep_plan(
        {"metric": ESCAPE, "experiment_name": ESCAPE, "jobs": [[f"a={ESCAPE}"]]}
    ),
    "plan: words that are a mapping": _sweep_plan({"words": {"a": 1}}),
}

SWEEP_FILES: dict[str, bytes] = {
    **{f"sweep: {kind}": text for kind, text in TEXTS.items() if kind not in ("empty", "null")},
    "sweep: an executor that runs a command": b"executor: {name: submitit_local, setup: ['touch marker']}",
    "sweep: settings of Hydra": b"experiment: minimum\noverrides: ['hydra.run.dir=/tmp/x']",
    "sweep: settings of Hydra by a group": b"experiment: minimum\noverrides: ['hydra/job_logging=x']",
    "sweep: settings of Hydra in a grid": b"experiment: minimum\ngrid: {hydra.sweep.dir: [a, b]}",
    "sweep: settings of Hydra added": b"experiment: minimum\noverrides: ['+hydra.callbacks.x._target_=os.system']",
    "sweep: a study elsewhere": b"experiment: minimum\nsearch: {space: {seed: 'range(3)'}, storage: 'sqlite:////tmp/x.db'}",
    "sweep: an unknown executor": b"executor: {name: evil}",
    "sweep: an experiment that is a list": b"experiment: [minimum]",
    "sweep: a grid that is a list": b"grid: [1, 2]",
    "sweep: seeds without end": b"experiment: minimum\nseeds: 1000000000",
    "sweep: a range without end": b"experiment: minimum\ngrid: {seed: 'shuffle(range(0,100000000))'}",
    "sweep: steps of nothing": b"experiment: minimum\ngrid: {seed: 'range(0,1,1e-9)'}",
    "sweep: seeds in a long list": f"experiment: minimum\nseeds: {list(range(30_000))}".encode(),
    "sweep: keys without end": f"experiment: minimum\ngrid: {{{', '.join(f'k{n}: [1, 2]' for n in range(3000))}}}".encode(),
    "sweep: a word that nests": b"experiment: minimum\noverrides: ['seed=" + b"[" * 20_000 + b"']",
    "sweep: a word of two lines": b'experiment: minimum\noverrides: ["seed=1\\nhydra.run.dir=/tmp/x"]',
    "sweep: a space before Hydra": b"experiment: minimum\noverrides: [' hydra.run.dir=/tmp/x']",
    "sweep: a cell for each atom": b"experiment: minimum\ngrid: {" + b", ".join(
        f"a{n}: 'range(0,1000)'".encode() for n in range(30)) + b"}",
    "sweep: an escape code in a key": f'grid: {{"{ESCAPE.encode("unicode_escape").decode()}": [1]}}'.encode(),
}  # fmt: skip


def _exported(changes: Mapping[str, object]) -> bytes:
    content: dict[str, object] = {
        "format": 1,
        "config": {
            "experiment_name": "sent",
            "seed": 0,
            "interaction": {"_target_": "pamiq_exp.interaction.Interaction"},
        },
        "runs": [{"arm": "a", "metrics": {"steps": 1}}],
    }
    return yaml.safe_dump(content | changes).encode()


EXPORTED_FILES: dict[str, bytes] = {
    **{f"exported: {kind}": text for kind, text in TEXTS.items()},
    "exported: as it is, without parts": _exported({}),
    "exported: a target": _exported({"config": {"experiment_name": "x", "interaction": {"_target_": "os.system", "command": "touch marker"}}}),
    "exported: Hydra": _exported({"config": {"experiment_name": "x", "hydra": {"run": {"dir": "/tmp/x"}}}}),
    "exported: Hydra at the top": _exported({"hydra": {"run": {"dir": "/tmp/x"}}}),
    "exported: a tracker": _exported({"config": {"experiment_name": "x", "tracking": {"w": {"_target_": "pamiq_exp.tracking.WandbTracker", "mode": "online"}}}}),
    "exported: places": _exported({"config": {"experiment_name": "x", "paths": {"outputs": "/tmp/elsewhere"}}}),
    "exported: a name outside of the folder": _exported({"config": {"experiment_name": "../../outside/target"}}),
    "exported: a name with escape codes": _exported({"config": {"experiment_name": ESCAPE}}),
    "exported: changes that are a list": _exported({"runs": [{"changes": [1]}]}),
    "exported: changes that remove numbers": _exported({"runs": [{"changes": {"remove": [[1, 2], [[]]]}}]}),
    "exported: changes by names that are none": _exported({"runs": [{"changes": {"set": {1: 2}}}]}),
    "exported: runs without end": _exported({"runs": [{}] * 5000}),
    "exported: metrics that are texts": _exported({"runs": [{"metrics": {"steps": "x", 1: 2}}]}),
    "exported: a format without end": _exported({"format": 10**300}),
    "exported: a secret": _exported({"config": {"experiment_name": "x", "environment": {"x": "${oc.env:WANDB_API_KEY}"}}}),
}  # fmt: skip


def _config(text: str | bytes, folder: Path, outside: Path) -> None:
    path = folder / "experiment" / "evil.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.replace("{outside}", str(outside)).encode())


def _config_link(to: str, folder: Path, outside: Path) -> None:
    (folder / "experiment").mkdir(parents=True, exist_ok=True)
    (folder / "experiment" / "evil.yaml").symlink_to(to.format(outside=outside))


def _config_elsewhere(folder: Path, outside: Path) -> None:
    """A link to a private config of the user, which must not be read."""
    (folder / "experiment").mkdir(parents=True, exist_ok=True)
    (folder / "experiment" / "evil.yaml").symlink_to(outside / "config.yaml")
    (folder / "shared").symlink_to(outside)


def _options_elsewhere(folder: Path, outside: Path) -> None:
    """Links to a private file of settings of the user, whose names must not appear in a message."""
    (folder / "experiment").mkdir(parents=True, exist_ok=True)
    (folder / "experiment" / "_options.yaml").symlink_to(outside / "_options.yaml")
    (folder / "reward").symlink_to(outside)


def _config_pipe(folder: Path, outside: Path) -> None:
    (folder / "experiment").mkdir(parents=True, exist_ok=True)
    os.mkfifo(folder / "experiment" / "evil.yaml")


def _name_with_escape_codes(folder: Path, outside: Path) -> None:
    _config("# x\n", folder, outside)
    (folder / "experiment" / f"{ESCAPE}.yaml").write_text("# x\n")
    (folder / "experiment" / "two\nlines.yaml").write_text("# x\n")


def _circle_of_folders(folder: Path, outside: Path) -> None:
    _config("# x\n", folder, outside)
    (folder / "experiment" / "below").symlink_to(folder)


CONFIG_FOLDERS: dict[str, Make] = {
    **{f"folder: {kind}": partial(_config, text) for kind, text in TEXTS.items()},
    "folder: a link to a device": partial(_config_link, "/dev/zero"),
    "folder: a pipe": _config_pipe,
    "folder: a link to a config elsewhere": _config_elsewhere,
    "folder: options elsewhere": _options_elsewhere,
    "folder: a circle": partial(_config_link, "evil.yaml"),
    "folder: names with escape codes": _name_with_escape_codes,
    "folder: folders in circles": _circle_of_folders,
    "folder: a comment with escape codes": partial(_config, f"# {ESCAPE} words\n"),
    "folder: a comment without end": partial(_config, "# " + "x" * 900_000 + "\n"),
}


def png(width: int, height: int) -> bytes:
    """A picture with this size in its header and no content."""
    chunk = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    header = b"IHDR" + chunk
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(chunk)) + header + struct.pack(">I", zlib.crc32(header))


PICTURES: dict[str, Make] = {
    "picture: PostScript": partial(_content, "a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(touch marker) run\n"),
    "picture: PostScript named as a PNG": partial(_content, "a.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
    "picture: a bomb": partial(_content, "a.png", png(100_000, 100_000)),
    "picture: cut": partial(_content, "a.png", png(8, 8)),
    "picture: a link out": partial(_link, "a.png", "{outside}/picture.png"),
    "picture: a link to a device": partial(_link, "a.png", "/dev/zero"),
    "picture: a pipe": partial(_pipe, "a.png"),
    "picture: a file without end": partial(_sparse, "a.png"),
    "picture: a vector": partial(_content, "a.svg", b'<svg><image href="file:///etc/passwd"/></svg>'),
}  # fmt: skip

VIDEOS: dict[str, bytes] = {
    "video: a playlist of addresses": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n",
    "video: a playlist of files": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "video: a list of files": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "video: nothing": b"",
    "video: noise": bytes(range(256)) * 100,
    "video: SDP": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
}  # fmt: skip
