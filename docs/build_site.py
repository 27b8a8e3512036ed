"""`make site`: the pages of this folder as a site in site/VERSION, with an API reference from the docstrings.

`python docs/build_site.py [-o FOLDER]` collects the pages in build/site_pages, where links lead to pages of the site,
has Zensical build them, and ends with status 1 if a link of the site leads nowhere. Versions that lie beside each other
in the folder can be chosen on each page.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

from pamiq_exp.trust import PART_PACKAGES

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = REPOSITORY / "build" / "site_pages"
BUILT = REPOSITORY / "build" / "site"
PACKAGES = sorted((*PART_PACKAGES, "config", "runtime"))
"""Those whose public names have a page."""

TOP = {"README.md": "index.md", "CHANGELOG.md": "about/changelog.md", "CONTRIBUTING.md": "about/contributing.md"}
TOP |= {"SECURITY.md": "about/security.md"}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|!?\[[^\]]*\]\([^)]*\))*)\]\(([^)#\s]*)(#[^)\s]*)?\)")
CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
REDIRECT = """<!doctype html>
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url={0}/index.html">
<a href="{0}/index.html">{0}</a>
"""


def main(words: Sequence[str] | None = None) -> int:
    """Build the site. Returns 0, or 1 if a link leads nowhere."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=REPOSITORY / "site", metavar="FOLDER")
    folder: Path = parser.parse_args(words).output.absolute()
    for old in (PAGES, BUILT):
        shutil.rmtree(old, ignore_errors=True)
    collect_pages()
    build = [sys.executable, "-m", "zensical", "build", "--clean", "--config-file", str(REPOSITORY / "mkdocs.yml")]
    subprocess.run(build, cwd=REPOSITORY, check=True)
    version = publish(folder)
    broken = list(broken_links(folder / version))
    for each in broken:
        print(f"broken link: {each}")
    print(f"{len(list((folder / version).rglob('*.html')))} pages in {folder / version}, {len(broken)} broken links")
    return 1 if broken else 0


def collect_pages() -> None:
    """Copy all pages to one folder, with links among them, and write those of the API reference."""
    sources = [*(REPOSITORY / name for name in TOP), *(REPOSITORY / "docs").rglob("*.md")]
    sources += (REPOSITORY / "experiments").glob("*/README.md")
    places = {source: place(source) for source in sources}
    for source, target in places.items():
        write(PAGES / target, with_site_links(source, target, places))
    shutil.copyfile(REPOSITORY / "docs" / "site.css", PAGES / "site.css")
    for package in PACKAGES:
        names = public_names(package)
        parts = [f"# pamiq_exp.{package}", *(f"::: pamiq_exp.{package}.{name}" for name in names)]
        write(PAGES / "api" / f"{package}.md", "\n\n".join(parts) + "\n")


def place(source: Path) -> Path:
    """Return where a page of the repository lies on the site."""
    name = source.relative_to(REPOSITORY).as_posix()
    if name in TOP:
        return Path(TOP[name])
    if name.startswith("experiments/"):
        return Path("studies", f"{source.parent.name}.md")
    return source.relative_to(REPOSITORY / "docs")


def with_site_links(source: Path, target: Path, places: dict[Path, Path]) -> str:
    """Return the text of a page whose links lead to pages and pictures of the site.

    A link to another file of the repository, such as a source file, becomes its text: the site does not hold it.
    """

    def changed(match: re.Match[str]) -> str:
        mark, text, address, anchor = match[1], LINK.sub(changed, match[2]), match[3], match[4] or ""
        if not address or "://" in address or address.startswith("mailto:"):
            return f"{mark}[{text}]({address}{anchor})"
        found = (source.parent / address).resolve()
        if mark and found.is_file():
            picture = Path("pictures", *found.relative_to(REPOSITORY).parts)
            (PAGES / picture).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found, PAGES / picture)
            return f"![{text}]({os.path.relpath(picture, target.parent)})"
        if found not in places:
            return text
        return f"[{text}]({os.path.relpath(places[found], target.parent)}{anchor})"

    text, done, position = source.read_text(encoding="utf-8"), [], 0
    for block in CODE.finditer(text):
        done += [LINK.sub(changed, text[position : block.start()]), block[0]]
        position = block.end()
    return "".join([*done, LINK.sub(changed, text[position:])])


def public_names(package: str) -> list[str]:
    """Return the public names of a package, in its order."""
    tree = ast.parse((REPOSITORY / "pamiq_exp" / package / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return list(ast.literal_eval(node.value))
    return []


def write(path: Path, text: str) -> None:
    """Write a page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def publish(folder: Path) -> str:
    """Put what was built into the folder of its version, and list the versions that lie there. Returns the version."""
    found = re.search(r'"(\d+\.\d+\.\d+\S*)"', (REPOSITORY / "pamiq_exp" / "_version.py").read_text())
    assert found is not None
    version = found[1]
    shutil.rmtree(folder / version, ignore_errors=True)
    shutil.copytree(BUILT, folder / version)
    versions = sorted((path.name for path in folder.iterdir() if path.is_dir()), key=_numbers, reverse=True)
    listed = [{"version": each, "title": each, "aliases": []} for each in versions]
    write(folder / "versions.json", json.dumps(listed, indent=2) + "\n")
    write(folder / "index.html", REDIRECT.format(versions[0]))
    return version


def _numbers(version: str) -> list[int]:
    return [int(each) for each in re.findall(r"\d+", version)]


class _Links(HTMLParser):
    """The addresses and the ids in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.ids.add(value)
            elif name in ("href", "src") and value and tag in ("a", "img", "script", "link"):
                self.addresses.append(value)


def broken_links(folder: Path) -> Iterator[str]:
    """Yield the links of a built site that lead to no file or no place in a page."""
    pages = {path.resolve(): _read_links(path) for path in sorted(folder.rglob("*.html"))}
    for path, page in pages.items():
        for address in page.addresses:
            if re.match(r"[a-z]+:|//", address) or path.name == "404.html":
                continue
            file, _, anchor = address.partition("#")
            target = (path.parent / unquote(file.partition("?")[0])).resolve() if file else path
            target = target / "index.html" if target.is_dir() else target
            known = pages.get(target)
            if not target.is_file() or (anchor and known is not None and unquote(anchor) not in known.ids):
                yield f"{path.relative_to(folder)}: {address}"


def _read_links(path: Path) -> _Links:
    links = _Links()
    links.feed(path.read_text(encoding="utf-8"))
    return links


if __name__ == "__main__":
    sys.exit(main())
