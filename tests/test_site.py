"""The documentation as a site: pages, links and versions."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import REPOSITORY


@pytest.fixture(scope="module")
def build_site() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_site", REPOSITORY / "docs" / "build_site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_site_collects_pages_and_rewrites_their_links(
    build_site: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_site, "PAGES", tmp_path)
    build_site.collect_pages()
    pages = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.md")}
    assert {"index.md", "tutorials/first_experiment.md", "about/changelog.md", "api/buffers.md"} <= pages
    assert "studies/curiosity_noise_world.md" in pages
    index = (tmp_path / "index.md").read_text()
    assert "](tutorials/your_own_parts.md)" in index
    assert "](pamiq_exp/models" not in index  # source files are not on the site
    assert "::: pamiq_exp.buffers.RingBuffer" in (tmp_path / "api" / "buffers.md").read_text()


def test_site_broken_links_are_found(build_site: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<a href="b.html#there">1</a><a href="b.html#not">2</a><img src="no.png">')
    (tmp_path / "b.html").write_text('<h2 id="there">x</h2><a href="a.html">3</a><a href="https://example.com">4</a>')
    assert list(build_site.broken_links(tmp_path)) == ["a.html: b.html#not", "a.html: no.png"]


def test_site_publish_lists_all_versions(
    build_site: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = tmp_path / "built"
    built.mkdir()
    (built / "index.html").write_text("new")
    monkeypatch.setattr(build_site, "BUILT", built)
    site = tmp_path / "site"
    (site / "0.1.0").mkdir(parents=True)
    version = build_site.publish(site)
    listed = build_site.json.loads((site / "versions.json").read_text())
    assert [each["version"] for each in listed] == [version, "0.1.0"]
    assert f"url={version}/index.html" in (site / "index.html").read_text()


@pytest.mark.slow
def test_site_is_built_without_a_broken_link(build_site: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("zensical", reason="the site needs the extra [site]")
    assert build_site.main(["-o", str(tmp_path)]) == 0
