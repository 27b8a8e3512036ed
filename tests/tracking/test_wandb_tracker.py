"""W&B: offline runs are complete, and a failure of W&B does not fail the run."""

from __future__ import annotations

import http.server
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pamiq_exp.media import Picture, Video
from pamiq_exp.tracking import JsonlTracker, RecordWriter, RunInfo, WandbTracker
from pamiq_exp.tracking.wandb_tracker import resolve_mode

_BLOCK = 32768


def info(folder: Path, **more: Any) -> RunInfo:
    config = {"seed": 3, "interaction": {"interval": 0.1}, "num_envs": [1, 2]}
    return RunInfo(folder, "run7", "curiosity", seed=3, group="sweep1", tags=("a", "b"), config=config, **more)


def wandb_records(folder: Path) -> list[Any]:
    """Return the records of the offline runs in a run folder, once the service has written the last of each."""
    deadline = time.monotonic() + 20
    while True:
        records = list(parse(folder))
        kinds = Counter(record.WhichOneof("record_type") for record in records)
        if kinds["run"] == kinds["exit"] == len(list(folder.glob("wandb/offline-run-*"))):
            return records
        assert time.monotonic() < deadline, f"the runs were not finished: {kinds}"
        time.sleep(0.01)  # the service flushes its log shortly after `finish` has returned


def parse(folder: Path) -> Iterator[Any]:
    """Parse the transaction logs of the offline runs in a run folder: LevelDB framing around W&B's own messages."""
    from wandb.proto import wandb_internal_pb2

    for path in sorted(folder.glob("wandb/offline-run-*/run-*.wandb")):
        data, position, whole = path.read_bytes(), 7, b""
        assert data.startswith(b":W&B")
        while position + 7 <= len(data):
            if _BLOCK - position % _BLOCK < 7:
                position += _BLOCK - position % _BLOCK
                continue
            _, length, kind = struct.unpack("<IHB", data[position : position + 7])
            if position + 7 + length > len(data):
                break  # the service is still writing it
            whole += data[position + 7 : position + 7 + length]
            position += 7 + length
            if kind in (1, 4):  # a full record, or the last part of one
                record = wandb_internal_pb2.Record()
                record.ParseFromString(whole)
                whole = b""
                yield record


def history(folder: Path) -> list[dict[str, Any]]:
    rows = []
    for record in wandb_records(folder):
        if record.WhichOneof("record_type") == "history":
            row: dict[str, Any] = {}
            for item in record.history.item:
                name, *inner = list(item.nested_key) or [item.key]
                value = json.loads(item.value_json)
                if inner:
                    row.setdefault(name, {})[inner[0]] = value
                else:
                    row[name] = value
            rows.append(row)
    return rows


def test_wandb_tracker_writes_records_config_media_tags_and_exit_code_offline(tmp_path: Path) -> None:
    writer = RecordWriter({"wandb": WandbTracker(project="proof", mode="offline", tags=("c",))}, tmp_path)
    writer.start(info(tmp_path))
    for step in range(1500):  # more than one block of the log
        writer.put({"source": "dynamics", "environment_step": step, "dynamics/loss": 1 / (step + 1)})
    writer.put_media(Picture("view", np.zeros((6, 6, 3), dtype=np.uint8)), 1500)
    writer.put_media(Video("film", np.zeros((4, 6, 6, 3), dtype=np.uint8), 10.0), 1500)
    writer.close(3, {"steps": 1500, "coverage": 0.5, "state": "failed"})
    writer.check()
    assert writer.failed_writes == 0

    rows = history(tmp_path)
    losses = {row["environment_step"]: row["dynamics/loss"] for row in rows if "dynamics/loss" in row}
    assert losses == {step: 1 / (step + 1) for step in range(1500)}
    media = {name: row[name] for row in rows for name in row if name.startswith("media/")}
    assert media["media/view"]["_type"] == "image-file"
    assert media["media/film"]["_type"] == "video-file"
    (files,) = tmp_path.glob("wandb/offline-run-*/files")
    assert all((files / item["path"]).exists() for item in media.values())

    by_kind: dict[str, Any] = {record.WhichOneof("record_type"): record for record in wandb_records(tmp_path)}
    run = by_kind["run"].run
    assert (run.project, run.display_name, run.run_group, run.job_type) == ("proof", "run7", "sweep1", "curiosity")
    assert set(run.tags) == {"a", "b", "c"}
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert config["interaction"] == {"interval": 0.1}
    assert config["num_envs"] == [1, 2]
    assert by_kind["exit"].exit.exit_code == 3
    final = {
        item.key: json.loads(item.value_json)
        for record in wandb_records(tmp_path)
        if record.WhichOneof("record_type") == "summary"
        for item in record.summary.update
    }
    assert final["coverage"] == 0.5
    assert final["state"] == "failed"


def test_wandb_tracker_separates_two_concurrent_runs(tmp_path: Path) -> None:
    import wandb

    writers = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        writer = RecordWriter({"wandb": WandbTracker(mode="offline")}, tmp_path / name)
        writer.start(info(tmp_path / name))
        writers.append((name, writer))
    for step in range(5):
        for name, writer in writers:
            writer.put({"environment_step": step, f"{name}/loss": step})
    for _, writer in writers:
        writer.close(0, {})
    assert wandb.run is None
    for name, _ in writers:
        rows = history(tmp_path / name)
        assert [row[f"{name}/loss"] for row in rows] == [0, 1, 2, 3, 4]


def test_wandb_tracker_continues_the_same_wandb_run_after_a_resume(tmp_path: Path) -> None:
    for step in (0, 1):
        writer = RecordWriter({"wandb": WandbTracker(mode="offline")}, tmp_path)
        writer.start(info(tmp_path, resumed_step=step or None))
        writer.put({"environment_step": step})
        writer.close(0, {})
    runs = [record.run for record in wandb_records(tmp_path) if record.WhichOneof("record_type") == "run"]
    assert len({(run.run_id, run.project) for run in runs}) == 1
    assert runs[0].start_time.ToNanoseconds() < runs[1].start_time.ToNanoseconds()  # the order in which W&B joins them
    assert {row["environment_step"] for row in history(tmp_path)} == {0, 1}


def test_wandb_tracker_uploads_no_media_if_turned_off(tmp_path: Path) -> None:
    writer = RecordWriter({"wandb": WandbTracker(mode="offline", upload_media=False)}, tmp_path)
    writer.start(info(tmp_path))
    writer.put({"environment_step": 0})
    writer.put_media(Picture("view", np.zeros((6, 6, 3), dtype=np.uint8)), 1)
    writer.close(0, {})
    assert (tmp_path / "media" / "view_000000001.png").exists()
    assert not list(tmp_path.glob("wandb/**/*.png"))
    assert len(history(tmp_path)) == 1


def test_wandb_tracker_writes_no_folder_if_disabled(tmp_path: Path) -> None:
    writer = RecordWriter({"wandb": WandbTracker(mode="disabled")}, tmp_path)
    writer.start(info(tmp_path))
    writer.put({"environment_step": 0})
    writer.close(0, {})
    assert writer.failed_writes == 0
    assert not (tmp_path / "wandb").exists()


def test_resolve_mode_auto_follows_the_settings_of_wandb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import wandb

    wandb.teardown()  # its client keeps the mode that tests before this one set
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    for wanted in ("online", "offline", "disabled"):
        monkeypatch.setenv("WANDB_MODE", wanted)
        assert resolve_mode("auto") == wanted
    for word, meant in (("dryrun", "offline"), ("run", "online")):  # W&B's older words for them
        monkeypatch.setenv("WANDB_MODE", word)
        assert resolve_mode("auto") == meant
    for word in ("shared", "Offline", "ofline"):
        monkeypatch.setenv("WANDB_MODE", word)
        with pytest.raises(ValueError, match=f"WANDB_MODE is '{word}'; set it to one of online, run, offline"):
            resolve_mode("auto")
    monkeypatch.delenv("WANDB_MODE")
    assert resolve_mode("auto") == "offline"
    assert resolve_mode("online") == "online"
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    assert resolve_mode("auto") == "online"
    monkeypatch.delenv("WANDB_API_KEY")
    (tmp_path / "netrc").write_text(f"machine api.wandb.ai\n  login user\n  password {'k' * 40}\n")
    assert resolve_mode("auto") == "online"


def test_wandb_tracker_refuses_an_unknown_mode_with_the_available_ones() -> None:
    with pytest.raises(ValueError, match="auto, online, offline, disabled"):
        WandbTracker(mode="onlin")  # type: ignore[arg-type]


def _service() -> int:
    from wandb.sdk import wandb_setup

    return int(wandb_setup.singleton()._connection._proc._process.pid)  # type: ignore[union-attr]


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP])
def test_wandb_tracker_loses_no_local_records_if_its_service_dies_or_hangs(
    tmp_path: Path, sent: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    writer = RecordWriter(
        {"jsonl": JsonlTracker(), "wandb": WandbTracker(mode="offline", finish_seconds=0.5)}, tmp_path
    )
    writer.start(info(tmp_path))
    writer.put({"environment_step": 0})
    assert writer.flush(60)
    assert writer._detached["wandb"].flush(60)
    os.kill(_service(), sent)
    for step in range(1, 100):
        writer.put({"environment_step": step})
    writer.close(0, {"steps": 100})
    writer.check()
    from wandb.sdk.lib import import_hooks

    assert not import_hooks._post_import_hooks  # or the next `import torch` would fail or hang
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["environment_step"] for line in lines] == list(range(100))
    assert writer.failures["wandb"] >= 1
    assert caplog.text.count("tracking.wandb") == 1

    (tmp_path / "next").mkdir()
    after = RecordWriter({"wandb": WandbTracker(mode="offline")}, tmp_path / "next")
    after.start(info(tmp_path / "next"))
    after.put({"environment_step": 5})
    after.close(0, {})
    assert after.failed_writes == 0
    assert [row["environment_step"] for row in history(tmp_path / "next")] == [5]


def test_wandb_tracker_restarts_a_service_that_died_between_two_runs(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        writer = RecordWriter({"wandb": WandbTracker(mode="offline")}, tmp_path / name)
        writer.start(info(tmp_path / name))
        writer.put({"environment_step": 0})
        writer.close(0, {})
        assert writer.failed_writes == 0
        assert len(history(tmp_path / name)) == 1
        if name == "first":
            os.kill(_service(), signal.SIGKILL)
            os.waitid(os.P_PID, _service(), os.WEXITED | os.WNOWAIT)


_UNREACHABLE = """
import logging, sys
from pathlib import Path
from pamiq_exp.tracking import JsonlTracker, RecordWriter, RunInfo, WandbTracker
import pamiq_exp.tracking.wandb_tracker as module
module._INIT_SECONDS = 1.0
folder = Path(sys.argv[1])
logging.basicConfig()
writer = RecordWriter({"jsonl": JsonlTracker(), "wandb": WandbTracker(mode="auto")}, folder)
writer.start(RunInfo(folder, "run", "experiment", seed=0))
for step in range(10):
    writer.put({"environment_step": step})
writer.close(0, {})
sys.exit(writer.failed_writes)
"""


class _Refusal(http.server.BaseHTTPRequestHandler):
    """A server that refuses every key."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(401)
        self.end_headers()
        self.wfile.write(b'{"errors": [{"message": "user is not logged in"}]}')

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def refusing_server() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Refusal)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "settings",
    [
        {"WANDB_API_KEY": "k" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9"},
        {"WANDB_API_KEY": "k" * 40},
        pytest.param({"WANDB_API_KEY": "short"}, marks=pytest.mark.slow),
        pytest.param({"WANDB_API_KEY": "k" * 40, "WANDB_BASE_URL": "http://wandb.invalid"}, marks=pytest.mark.slow),
    ],
    ids=["nothing listens", "the server refuses the key", "a short key", "an unknown host"],
)
def test_wandb_tracker_keeps_a_run_offline_if_the_server_cannot_be_used(
    tmp_path: Path, settings: dict[str, str], refusing_server: str
) -> None:
    environment = {**os.environ, "WANDB_BASE_URL": refusing_server, **settings}
    environment.pop("WANDB_MODE", None)
    environment.pop("WANDB_SERVICE", None)
    ended = subprocess.run(
        [sys.executable, "-c", _UNREACHABLE, str(tmp_path)],
        env=environment,
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "this run is kept offline" in ended.stderr
    assert {row["environment_step"] for row in history(tmp_path)} == set(range(10))
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 10


@pytest.mark.parametrize(("mode", "expected"), [("online", "https://wandb.example/run\n"), ("offline", None)])
def test_wandb_tracker_keeps_the_url_of_an_online_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, expected: str | None
) -> None:
    import wandb

    class Opened:
        """What `wandb.init` returns for an online run."""

        url = "https://wandb.example/run"

        def define_metric(self, *_: object, **__: object) -> None: ...

    monkeypatch.setattr(wandb, "init", lambda **_: Opened())
    WandbTracker(mode=mode).start(info(tmp_path))  # type: ignore[arg-type]
    path = tmp_path / "wandb" / "run_url.txt"
    assert (path.read_text() if path.exists() else None) == expected
