"""Options of config groups: a file each, or several in one file."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from pamiq_exp.config import AllowList, ConfigError, Source, compose, examine, record_composition
from pamiq_exp.option_files import TOGETHER, find_file, options_together, place_of_line, places, text_in, without_line

WORLDS = """# @package environment
# Worlds of our own.

bare: # Nothing in it.
# a comment at the margin belongs to no option
still: # Noise that never changes.
  defaults:
    - bare
    - _self_

  noise:
    mode: static
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "world").mkdir()
    (tmp_path / "world" / "_options.yaml").write_text(WORLDS)
    return tmp_path


def test_compose_chooses_an_option_of_a_shared_file(own: Path) -> None:
    composed = compose(["experiment=pamiq2024", "world=still"], Source(folder=str(own)))
    assert composed.tree["environment"]["noise"]["mode"] == "static"
    assert "world still <- command line" in composed.chosen
    assert [str(each) for each in examine(composed, AllowList(), dry_run=False).errors] == []


def test_compose_records_the_line_of_a_value_in_a_shared_file(own: Path) -> None:
    composed = compose(["experiment=pamiq2024", "world=still"], Source(folder=str(own)))
    origin = composed.origins["environment.noise.mode"]
    assert Path(origin.file).name == "_options.yaml"
    assert WORLDS.splitlines()[origin.line - 1] == "    mode: static"


def test_compose_reports_an_unknown_option_with_those_of_a_shared_file(own: Path) -> None:
    with pytest.raises(ConfigError, match="there is no world 'stil'") as error:
        compose(["experiment=pamiq2024", "world=stil"], Source(folder=str(own)))
    assert "still" in str(error.value)
    assert "_options" not in str(error.value)


def test_record_composition_keeps_only_the_used_options_of_a_shared_file(own: Path) -> None:
    composed = compose(["experiment=pamiq2024", "world=still"], Source(folder=str(own)))
    kept = record_composition(composed).files
    assert OmegaConf.create(kept["world/still"])["noise"] == {"mode": "static"}
    assert kept["world/bare"].splitlines() == ["# @package environment", "# Nothing in it.", "# _options.yaml:4"]


def test_compose_reports_the_line_of_an_error_in_a_shared_file(own: Path) -> None:
    (own / "world" / "_options.yaml").write_text(f"{WORLDS}broken:\n  map: [\n")
    with pytest.raises(ConfigError) as error:
        compose(["experiment=pamiq2024", "world=broken"], Source(folder=str(own)))
    assert f"_options.yaml:{len(WORLDS.splitlines()) + 3}" in str(error.value)  # where the text ends


def test_find_file_prefers_a_single_file_to_a_shared_one(own: Path) -> None:
    (own / "world" / "still.yaml").write_text("# @package environment\nmap: room\n")
    path = find_file(own, "world/still")
    assert path == own / "world" / "still.yaml"
    assert text_in(path, "world/still").endswith("map: room\n")


def test_places_are_those_of_single_and_shared_files(own: Path) -> None:
    (own / "world" / "last.yaml").write_text("map: room\n")
    assert [place for place, _ in places(own)] == ["world/bare", "world/still", "world/last"]


def test_find_file_ignores_an_unreadable_shared_file(own: Path) -> None:
    (own / "world" / "_options.yaml").write_bytes(b"\xff\xfe\x00")
    assert find_file(own, "world/still") is None
    with pytest.raises(ConfigError, match="there is no world 'still'"):
        compose(["experiment=pamiq2024", "world=still"], Source(folder=str(own)))


def test_place_of_line_finds_the_line_of_a_kept_option_in_its_file(tmp_path: Path) -> None:
    for header in ("", "# @package environment\n"):
        path = tmp_path / f"{len(header)}" / TOGETHER
        path.parent.mkdir()
        path.write_text(f"{header}first:\n  x: 1\n\n# About the second.\nsecond: # with y\n  y: 2\n\n  z: 3\n")
        lines = path.read_text().splitlines()
        for name, option in options_together(path, path.parent).items():
            kept = option.kept_text.splitlines()
            for number, line in enumerate(kept[bool(header) : -1], start=1 + bool(header)):
                file, _, found = place_of_line(f"world/{name}", option.kept_text, number).partition(":")
                assert file == "world/_options.yaml"
                assert lines[int(found) - 1].endswith(line)
            assert without_line(option.kept_text) == option.text
    assert place_of_line("world/own", "a: 1\n", 1) == "world/own.yaml:1"
