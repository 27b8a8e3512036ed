"""Untrusted files: what is read, what is refused, and that writing follows no link."""

from __future__ import annotations

import ast
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pamiq_exp.files import (
    MOST_BYTES,
    MOST_DEPTH,
    MOST_DIGITS,
    MOST_VALUES,
    BrokenFileError,
    UnreadableFileError,
    find_links,
    make_own_folder,
    open_own,
    parse_json,
    parse_yaml,
    read_bytes,
    read_json,
    read_text,
    read_yaml,
    write_atomically,
)
from tests.cases import error_of

PACKAGE = Path(__file__).resolve().parent.parent / "pamiq_exp"


def pipe(path: Path) -> None:
    os.mkfifo(path)


def link_out(path: Path) -> None:
    outside = path.parent.parent / "outside.txt"
    outside.write_text("a: 1")
    path.symlink_to(outside)


def link_to_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def circle(path: Path) -> None:
    path.symlink_to(path)


def test_files_that_are_irregular_or_outside_the_folder_are_not_read(tmp_path: Path) -> None:
    makers: list[Callable[[Path], None]] = [pipe, link_out, link_to_device, Path.mkdir]
    readers: list[Callable[[Path], object]] = [read_bytes, read_text, read_json, read_yaml]
    for make in makers:
        path = tmp_path / make.__name__ / "file"
        path.parent.mkdir()
        make(path)
        for read in readers:
            message = error_of(UnreadableFileError, read, path)
            assert "no regular file" in message or "leads out of its folder" in message, (make, read)


def test_read_bytes_refuses_a_circular_link(tmp_path: Path) -> None:
    circle(tmp_path / "file")
    with pytest.raises(OSError, match=r"no regular file|symbolic links"):
        read_bytes(tmp_path / "file")


def test_read_text_follows_only_links_within_the_folder(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "one").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for folder in (run / "one", tmp_path / "elsewhere"):
        (folder / "file").write_text("x")
    (run / "inside").symlink_to("one")
    (run / "out").symlink_to(tmp_path / "elsewhere")
    assert read_text(run / "inside" / "file", within=run) == "x"
    with pytest.raises(UnreadableFileError, match="leads out of its folder"):
        read_text(run / "out" / "file", within=run)


def test_read_text_accepts_a_link_to_the_folder_itself(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "file").write_text("x")
    (tmp_path / "link").symlink_to("run")
    assert read_text(tmp_path / "link" / "file") == "x"


def test_read_bytes_refuses_a_file_one_byte_above_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * MOST_BYTES)
    assert len(read_bytes(path)) == MOST_BYTES
    path.write_bytes(b"x" * (MOST_BYTES + 1))
    with pytest.raises(UnreadableFileError, match="larger than"):
        read_bytes(path)


def test_read_json_raises_file_not_found_for_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "file")


def test_read_bytes_refuses_a_name_with_a_null_byte(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="is no name of a file"):
        read_bytes(tmp_path / "a\0.png")


def laughs(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


INVALID_YAML = {
    "aliases": laughs(12),
    "aliases that merge": "a: &a {x: 1}\nb: {<<: [" + ", ".join(["*a"] * MOST_VALUES) + "]}",
    "an alias to itself": "a: &a [*a]",
    "lists in lists": "[" * 20_000,
    "closed lists in lists": "[" * (MOST_DEPTH + 5) + "]" * (MOST_DEPTH + 5),
    "lists by indentation": "- " * (MOST_DEPTH + 5) + "x",
    "values": "[" + "1," * (MOST_VALUES + 5) + "]",
    "digits": "a: " + "9" * (MOST_DIGITS + 1),
    "digits of base 16": "a: 0x" + "f" * MOST_DIGITS,
    "digits of base sixty": "a: 1" + ":59" * 200_000,
    "hexadecimal digits": "a: 0x" + "f" * 200_000,
    "a number above all floats": "a: 0x1" + "0" * 300,
    "an empty whole number": "a: !!int ''",
    "an empty number": "a: !!float ''",
    "no truth": "a: !!bool perhaps",
    "no time": "a: !!timestamp never",
    "no day": "a: 2001-99-99",
    "a tag": "a: !!python/object/apply:os.system [ls]",
    "a list as a key": "? [a]\n: b",
    "control characters": "a: \x00",
    "two documents": "a: 1\n---\nb: 2",
}


def test_read_yaml_refuses_invalid_or_too_large_input_quickly(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    for name, text in INVALID_YAML.items():
        path.write_text(text)
        before = time.process_time()
        assert error_of(BrokenFileError, read_yaml, path), name
        assert time.process_time() - before < 5, name


def test_parse_json_refuses_invalid_or_too_large_input() -> None:
    texts = ["[" * 100_000, "[" * (MOST_DEPTH + 1) + "]" * (MOST_DEPTH + 1), '{"a":' * 100_000, "9" * 5000, "[1", "",
             "\ufeff{}", "[" + "1," * MOST_VALUES + "1]", "1" + "0" * 350]  # fmt: skip
    for text in texts:
        assert error_of(ValueError, parse_json, text), (text[:6], len(text))


def test_parse_json_replaces_lone_surrogates() -> None:
    for text in ('"\\ud800"', '"a\\uDC00"', '"\\udc00\\ud83d"', b'"\\ud83d"'):
        assert "\ufffd" in str(parse_json(text)), text
        str(parse_json(text)).encode()
    assert parse_json('"\\ud83d\\ude00"') == "\U0001f600"


def test_parse_json_and_parse_yaml_accept_trees_within_the_limits() -> None:
    deep = "[" * MOST_DEPTH + "]" * MOST_DEPTH
    assert str(parse_json(deep)) == str(parse_yaml(deep)) == deep
    assert parse_yaml("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}") == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}
    assert parse_yaml("text: " + "hello " * 1000)["text"].startswith("hello")  # type: ignore[index]
    assert parse_json("[" + "1," * (MOST_VALUES - 2) + "1]") is not None
    assert parse_json("9" * 300) == int("9" * 300)


def test_read_text_decodes_utf8_and_refuses_other_encodings(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes("süß\r\n".encode())
    assert read_text(tmp_path / "file") == "süß\n"
    (tmp_path / "file").write_bytes("süß".encode("latin-1"))
    with pytest.raises(BrokenFileError, match="no text in UTF-8"):
        read_text(tmp_path / "file")


def test_write_atomically_replaces_a_link_and_keeps_its_target(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("mine")
    (tmp_path / "file").symlink_to(tmp_path / "target")
    write_atomically(tmp_path / "file", "new")
    assert (tmp_path / "target").read_text() == "mine"
    assert (tmp_path / "file").read_text() == "new"
    assert not (tmp_path / "file").is_symlink()
    assert len(list(tmp_path.iterdir())) == 2


def test_open_own_appends_to_its_file_and_refuses_links_and_pipes(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "second name").hardlink_to(tmp_path / "target")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "second name", "pipe"):
        with pytest.raises(OSError):  # noqa: PT011 - of the system, or ours
            os.close(open_own(tmp_path / name))
    assert (tmp_path / "target").read_text() == "mine"
    for piece in (b"a", b"b"):
        descriptor = open_own(tmp_path / "own")
        os.write(descriptor, piece)
        os.close(descriptor)
    assert (tmp_path / "own").read_text() == "ab"


def test_make_own_folder_refuses_a_link(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to("target")
    make_own_folder(tmp_path / "own")
    make_own_folder(tmp_path / "own")
    with pytest.raises(UnreadableFileError, match="is a link"):
        make_own_folder(tmp_path / "link")


def test_find_links_finds_links_and_pipes(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "file").write_text("x")
    assert find_links(tmp_path) == []
    (tmp_path / "a" / "b" / "link").symlink_to("/")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    assert [path.name for path in find_links(tmp_path)] == ["link", "dangling", "pipe"]


TEXT_CALLS = {"open", "read_text", "write_text", "fdopen"}


def calls_without_encoding(source: str) -> list[int]:
    lines = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        if name not in TEXT_CALLS or owner in ("os", "Image", "av", "files") or (name == "read_text" and not owner):
            continue
        words = {keyword.arg for keyword in node.keywords}
        binary = any(isinstance(each, ast.Constant) and isinstance(each.value, str) and "b" in each.value
                     for each in [*node.args[1:2], *(k.value for k in node.keywords if k.arg == "mode")])  # fmt: skip
        positional = name == "read_text" and any(isinstance(each, ast.Constant) for each in node.args)
        if not binary and not positional and "encoding" not in words:
            lines.append(node.lineno)
    return lines


def test_files_opened_without_an_encoding_are_found() -> None:
    assert calls_without_encoding("open('x')\nopen('x', 'rb')\np.read_text()\np.read_text('utf-8')") == [1, 3]


def test_files_are_opened_with_a_stated_encoding() -> None:
    calls = {
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in PACKAGE.rglob("*.py")
        for line in calls_without_encoding(path.read_text(encoding="utf-8"))
    }
    assert calls == set()


def test_parse_yaml_reads_a_long_word_of_number_letters_as_text() -> None:
    for text in ("x" * 1000, "facade" * 100, "e" * (MOST_DIGITS + 1)):
        assert parse_yaml(f"a: {text}") == {"a": text}
