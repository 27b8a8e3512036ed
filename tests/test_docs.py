"""Examples in README and docs work, links resolve and lines are short.

The blocks of a page are executed from top to bottom in an empty folder. A comment before a block controls how:

    <!-- file: NAME -->                        the block is the content of this file
    <!-- run with: key=value ... -->           append these arguments, to shorten a long run
    <!-- checked -->                           `make test` only checks the configs of runs; `make docs` runs everything
    <!-- checked, run with: key=value ... -->  both of the above
    <!-- run with a run folder of: NAME -->    RUN stands for the newest run folder of this experiment, OTHER for the
                                               one before it
    <!-- expect status N -->                   the command is expected to fail
    <!-- not run: REASON -->                   skip the block
"""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Command

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((REPOSITORY / "docs").rglob("*.md")),
    *sorted((REPOSITORY / "experiments").rglob("*.md")),
]
PROGRAM = ["python", "-m", "pamiq_exp"]
MAX_LINE_LENGTH = 100

_BLOCK = re.compile(r"(?:<!--\s*(?P<note>[^\n]*?)\s*-->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
_LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)")


@dataclass(frozen=True)
class Block:
    """One fenced block with the comment before it."""

    note: str
    language: str
    text: str

    @property
    def checked(self) -> bool:
        """Whether `make test` checks the configs of this block instead of running them."""
        return self.note.startswith("checked")

    def after(self, marker: str) -> str | None:
        """Return what follows `marker` in the note, if the note begins with it."""
        note = self.note.removeprefix("checked").removeprefix(",").strip()
        return note.removeprefix(marker).strip() if note.startswith(marker) else None


def blocks(text: str) -> Iterator[Block]:
    for match in _BLOCK.finditer(text):
        yield Block(match["note"] or "", match["language"], match["text"])


def run_commands(block: Block, command: Command, folder: Path, run_all: bool) -> None:
    extra = shlex.split(block.after("run with:") or "")
    status = int(block.after("expect status") or 0)
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        assert words[:3] == PROGRAM, f"cannot run {line!r} here: mark its block with <!-- not run: REASON -->"
        words = [*(_in_repository(_with_run_folder(word, block, folder)) for word in words[3:]), *extra]
        if block.checked and not run_all:
            if not _is_run(words):
                continue
            words = ["check", "--no-dry-run", *words]
        outcome = command(*words)
        assert outcome.status == status, f"{line}\n{outcome.out}\n{outcome.err}"


def _in_repository(word: str) -> str:
    """Return the path of published results, which commands read where the reader's clone is the current folder."""
    return str(REPOSITORY / word) if word.startswith("experiments/") else word


def _is_run(words: list[str]) -> bool:
    """Whether the first word is no command: a run or a sweep."""
    return "=" in words[0] or words[0].startswith("-")


def _with_run_folder(word: str, block: Block, folder: Path) -> str:
    name = block.after("run with a run folder of:")
    if name is None or f"outputs/{name}/" not in word:
        return word
    summaries = sorted((folder / "outputs" / name).glob("*/summary.json"), key=lambda path: path.stat().st_mtime)
    key, _, rest = word.partition(f"outputs/{name}/")
    return f"{key}{summaries[{'RUN': -1, 'OTHER': -2}[rest]].parent}"


def execute(page: Path, command: Command, folder: Path, run_all: bool = False) -> None:
    for index, block in enumerate(blocks(page.read_text())):
        if (reason := block.after("not run:")) is not None:
            assert reason, f"{page.name}: say why a block is not run"
        elif (name := block.after("file:")) is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(block.text)
        elif block.language in ("bash", "sh", "shell", "console"):
            run_commands(block, command, folder, run_all)
        elif block.language == "python":
            script = folder / f"block_{index}.py"
            script.write_text(block.text)
            sys.path.insert(0, str(folder))  # of a copy that the fixture `command` made
            runpy.run_path(str(script), run_name="__main__")


def pages_with(condition: Callable[[Block], bool]) -> pytest.MarkDecorator:
    """Run a test for each page that has such a block."""
    pages = [page for page in PAGES if any(map(condition, blocks(page.read_text())))]
    return pytest.mark.parametrize("page", pages, ids=[str(page.relative_to(REPOSITORY)) for page in pages])


@pages_with(lambda block: True)
def test_docs_examples_run(page: Path, command: Command, tmp_path: Path) -> None:
    execute(page, command, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pages_with(lambda block: block.checked)
def test_docs_checked_commands_run_in_full(page: Path, command: Command, tmp_path: Path) -> None:
    execute(page, command, tmp_path, run_all=True)


def test_docs_links_resolve() -> None:
    broken = [
        f"{page.relative_to(REPOSITORY)}: {link}"
        for page in PAGES
        for link in _LINK.findall(page.read_text())
        if not (page.parent / link).exists()
    ]
    assert not broken, "\n".join(broken)


def test_docs_lines_are_short() -> None:
    """Rows of tables and code cannot be broken."""
    long = [
        f"{page.relative_to(REPOSITORY)}: {line}"
        for page in PAGES
        for line in _BLOCK.sub("", page.read_text()).splitlines()
        if len(line) > MAX_LINE_LENGTH and not line.startswith(("|", "    ", "!["))
    ]
    assert not long, "\n".join(long)


def test_docs_wrong_examples_fail(command: Command, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```bash\npython -m pamiq_exp experiment=nothing\n```\n")
    with pytest.raises(AssertionError, match="there is no experiment 'nothing'"):
        execute(page, command, tmp_path)
    page.write_text("```bash\nrm -rf everything\n```\n")
    with pytest.raises(AssertionError, match="cannot run 'rm -rf everything' here"):
        execute(page, command, tmp_path)
    page.write_text("```python\nraise RuntimeError('wrong')\n```\n")
    with pytest.raises(RuntimeError, match="wrong"):
        execute(page, command, tmp_path)
    page.write_text("<!-- checked -->\n```bash\npython -m pamiq_exp experiment=nothing\n```\n")
    with pytest.raises(AssertionError, match="there is no experiment 'nothing'"):
        execute(page, command, tmp_path)
