"""Reading run folders, also untrusted and damaged ones."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

import pytest
import yaml

from pamiq_exp.dashboard import reader
from pamiq_exp.dashboard.reader import RunList
from pamiq_exp.run_folder import RunFolder
from pamiq_exp.run_folder.media import list_media, read_media
from pamiq_exp.run_folder.reader import find_places, last_record
from tests.analysis.folders import write_run


def test_find_places_lists_runs_and_sweeps_in_natural_order(tmp_path: Path) -> None:
    for number in (10, 9):
        write_run(tmp_path / "sweep" / str(number))
    (tmp_path / "sweep" / "sweep.json").write_text("{}")
    write_run(tmp_path / "alone")
    (tmp_path / "empty").mkdir()
    found = [(place.key, place.kind) for place in find_places(tmp_path)]
    assert found == [("alone", "run"), ("sweep", "sweep"), ("sweep/9", "run"), ("sweep/10", "run")]


def test_find_places_follows_no_links(tmp_path: Path) -> None:
    write_run(tmp_path / "outside" / "run")
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "shown" / "loop").symlink_to(tmp_path / "shown")
    assert find_places(tmp_path / "shown") == []


def test_run_list_finds_only_listed_folders(tmp_path: Path) -> None:
    write_run(tmp_path / "outside" / "run")
    write_run(tmp_path / "shown" / "run")
    runs = RunList(tmp_path / "shown")
    assert runs.find("run") is not None
    for key in ("../outside/run", "/etc", str(tmp_path / "outside" / "run"), "run/../run", "", "run/media"):
        assert runs.find(key) is None, key


def make_irregular(path: Path, kind: str) -> None:
    """Replace a file by a link out of the folder, a pipe, a device or a folder."""
    path.unlink(missing_ok=True)
    if kind == "link":
        secret = path.parent.parent.parent / "secret"
        secret.write_text('{"experiment_name": "hidden", "hidden": 1}')
        path.symlink_to(secret)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()


def test_reader_opens_only_regular_files(tmp_path: Path) -> None:
    names = ("manifest.json", "config.yaml", "overrides.yaml", "summary.json", "metrics.jsonl", "log.txt")
    for name, kind in itertools.product(names, ("link", "pipe", "folder", "device")):
        folder = tmp_path / f"{name} {kind}"
        run = write_run(folder / "run")
        make_irregular(run / name, kind)
        runs = RunList(folder)
        runs.look()
        (line,) = runs.lines()
        settings, log = reader.read_settings(run, []), reader.read_log(run)
        assert "hidden" not in f"{line}{settings}{log}{last_record(run)}".replace(str(tmp_path), ""), (name, kind)


def test_reader_shows_a_run_with_damaged_files_as_unknown(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for text in ("{", "[1, 2]", "\x00", "a: &a [*a, *a]", "[" * 5000, "!!python/object:os.system {}", "\ud800"):
        for name in ("manifest.json", "config.yaml", "overrides.yaml", "summary.json"):
            (run / name).write_bytes(text.encode("utf-8", "surrogatepass"))
        assert len(reader.read_settings(run, [])) <= reader.MOST_SETTINGS
        runs = RunList(tmp_path)
        runs.look()
        (line,) = runs.lines()
        assert line.state == "unknown", text[:30]
        assert any(error.startswith("manifest.json is damaged") for error in line.files.errors), text[:30]


def test_reader_limits_the_settings_of_a_config_with_nested_aliases(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} {{p: *a{n - 1}, q: *a{n - 1}, r: *a{n - 1}, s: *a{n - 1}}}" for n in range(1, 30)]
    (run / "config.yaml").write_text("\n".join(levels))
    errors: list[str] = []
    assert len(reader.read_settings(run, errors)) <= reader.MOST_SETTINGS
    assert errors


def test_reader_reports_what_chose_each_setting(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", overrides=["launcher.max_steps=100"], config={"models": {"width": 8}})
    kept = {"name": "config", "overrides": ["launcher.max_steps=100"], "files": {"size/small": SMALL}}
    (run / "composition.yaml").write_text(yaml.safe_dump(kept))
    chosen = {each.key: each.chosen_by for each in reader.read_settings(run, [])}
    assert chosen["models.width"] == "size/small.yaml:3"
    assert chosen["launcher.max_steps"] == "typed: launcher.max_steps=100"
    assert chosen["experiment_name"] == ""


SMALL = """# @package _global_
models:
  width: 8
"""


def test_reader_reads_the_end_of_the_log_and_its_warnings(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    with open(run / "log.txt", "w") as file:
        file.writelines(f"2026-01-01 00:00:00 INFO MainThread x: line {n}\n" for n in range(10_000))
        file.write("2026-01-01 00:00:00 WARNING MainThread x: look here\n")
    lines, warnings, error = reader.read_log(run)
    assert lines[-2].endswith("line 9999")
    assert len(lines) < 10_000
    assert [line.rpartition(": ")[2] for line in warnings] == ["look here"]
    assert not error


def test_read_media_returns_only_pictures_and_videos_of_the_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    picture = b"\x89PNG\r\n\x1a\n pixels"
    (run / "media" / "view_1.png").write_bytes(picture)
    (run / "media" / "text.png").write_text("no picture")
    (run / "media" / "page.html").write_text("<script>")
    (run / "media" / "link.png").symlink_to("/etc/passwd")
    os.mkfifo(run / "media" / "pipe.mp4")
    (run / "secret.png").write_bytes(b"secret")
    assert {file.name for file in list_media(run)} == {"view_1.png", "text.png"}
    assert read_media(run, "view_1.png") == picture
    for name in (
        "page.html",
        "link.png",
        "pipe.mp4",
        "../secret.png",
        "../manifest.json",
        "",
        ".",
        "no.png",
        "text.png",
    ):
        with pytest.raises(OSError, match=r".+"):
            read_media(run, name)
    (run / "media").rename(run / "other")
    (run / "media").symlink_to(run / "other")
    assert list_media(run) == []
    with pytest.raises(OSError, match="no picture or video"):
        read_media(run, "view_1.png")


def test_reader_lists_checkpoints_newest_first_with_their_size(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for step in (9, 10):
        folder = run / "checkpoints" / f"step_{step}"
        folder.mkdir(parents=True)
        (folder / "models.safetensors").write_bytes(b"x" * step)
    assert [(file.name, file.size) for file in reader.list_checkpoints(run)] == [("step_10", 10), ("step_9", 9)]


@pytest.mark.parametrize(("age", "state"), [(0.0, "unknown"), (1000.0, "died")])
def test_run_list_shows_a_run_as_running_only_while_it_has_a_process(tmp_path: Path, age: float, state: str) -> None:
    run = write_run(tmp_path / "run", state="running")
    os.utime(run / "metrics.jsonl", (time.time() - age, time.time() - age))
    runs = reader.RunList(tmp_path)
    runs.look()
    assert [line.state for line in runs.lines()] == [state]
    with RunFolder(run).owned():
        assert [line.state for line in runs.lines()] == ["running"]
