"""Every command and script in the docs runs, and every link leads somewhere.

Each page is gone through from top to bottom in an empty folder. A comment before a block says what to do with it,
where that is not plain:

    <!-- file: NAME -->                        the block is the content of this file
    <!-- run with: key=value ... -->           add these words, to make a long run short
    <!-- run with a run folder of: NAME -->    RUN stands for the newest run folder of this experiment, OTHER for the
                                               one before it
    <!-- expect status N -->                   the command is meant to fail
    <!-- not run: REASON -->                   leave it out
"""

from __future__ import annotations

import re
import runpy
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Command

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
PROGRAM = ["python", "-m", "pamiq_exp"]


_BLOCK = re.compile(r"(?:<!--\s*(?P<note>[^\n]*?)\s*-->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
_LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)")


@dataclass(frozen=True)
class Block:
    """One fenced block with the comment before it."""

    note: str
    language: str
    text: str

    def after(self, marker: str) -> str | None:
        """What follows `marker` in the note, if the note begins with it."""
        return self.note.removeprefix(marker).strip() if self.note.startswith(marker) else None


def blocks(text: str) -> Iterator[Block]:
    for match in _BLOCK.finditer(text):
        yield Block(match["note"] or "", match["language"], match["text"])


def run_commands(block: Block, command: Command, folder: Path) -> None:
    extra = shlex.split(block.after("run with:") or "")
    status = int(block.after("expect status") or 0)
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        assert words[:3] == PROGRAM, f"cannot run {line!r} here: mark its block with <!-- not run: REASON -->"
        words = [_with_run_folder(word, block, folder) for word in words[3:]]
        outcome = command(*words, *extra)
        assert outcome.status == status, f"{line}\n{outcome.out}\n{outcome.err}"


def _with_run_folder(word: str, block: Block, folder: Path) -> str:
    name = block.after("run with a run folder of:")
    if name is None or f"outputs/{name}/" not in word:
        return word
    summaries = sorted((folder / "outputs" / name).glob("*/summary.json"), key=lambda path: path.stat().st_mtime)
    key, _, rest = word.partition(f"outputs/{name}/")
    return f"{key}{summaries[{'RUN': -1, 'OTHER': -2}[rest]].parent}"


def go_through(page: Path, command: Command, folder: Path) -> None:
    for index, block in enumerate(blocks(page.read_text())):
        if (reason := block.after("not run:")) is not None:
            assert reason, f"{page.name}: say why a block is not run"
        elif (name := block.after("file:")) is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(block.text)
        elif block.language in ("bash", "sh", "shell", "console"):
            run_commands(block, command, folder)
        elif block.language == "python":
            script = folder / f"block_{index}.py"
            script.write_text(block.text)
            runpy.run_path(str(script), run_name="__main__")


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_a_page_does_what_it_says(page: Path, command: Command, tmp_path: Path) -> None:
    go_through(page, command, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    broken = [link for link in _LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert not broken


def test_a_page_that_is_wrong_is_found(command: Command, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```bash\npython -m pamiq_exp experiment=nothing\n```\n")
    with pytest.raises(AssertionError, match="there is no experiment 'nothing'"):
        go_through(page, command, tmp_path)
    page.write_text("```bash\nrm -rf everything\n```\n")
    with pytest.raises(AssertionError, match="cannot run 'rm -rf everything' here"):
        go_through(page, command, tmp_path)
    page.write_text("```python\nraise RuntimeError('wrong')\n```\n")
    with pytest.raises(RuntimeError, match="wrong"):
        go_through(page, command, tmp_path)
