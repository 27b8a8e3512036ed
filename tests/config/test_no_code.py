"""The source of the package has no calls by which a file could run code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "pamiq_exp"
SOURCES = sorted(PACKAGE.rglob("*.py"))

MODULES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
CALLS = {"eval", "exec", "compile", "__import__", "load_from_checkpoint", "unsafe_load", "full_load"}
ARGUMENTS = {("weights_only", False), ("allow_pickle", True), ("shell", True)}


def unsafe_code(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and name of each unsafe import and call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, each.name) for each in node.names if each.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            if {each.name for each in node.names} != {"dumps"}:  # writing a pickle runs no code of the file
                yield node.lineno, str(node.module)
        elif isinstance(node, ast.Call):
            yield from unsafe_calls(node)


def unsafe_calls(node: ast.Call) -> Iterator[tuple[int, str]]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
    given = {each.arg: getattr(each.value, "value", None) for each in node.keywords}
    if (name in CALLS and owner not in ("re", "torch")) and not (name == "eval" and owner):  # module.eval() is torch's
        yield node.lineno, f"{owner}.{name}".lstrip(".")
    yield from ((node.lineno, f"{key}={value}") for key, value in given.items() if (key, value) in ARGUMENTS)
    if (owner, name) == ("torch", "load") and given.get("weights_only") is not True:
        yield node.lineno, "torch.load without weights_only=True"
    if (owner, name) == ("yaml", "load") and "Loader" not in given and len(node.args) < 2:
        yield node.lineno, "yaml.load without a loader"
    if (owner, name) == ("os", "system"):
        yield node.lineno, "os.system"


BAD = """
import pickle
from joblib import load
from pickle import dumps, loads
eval("1")
exec("1")
torch.load(path)
torch.load(path, weights_only=False)
numpy.load(path, allow_pickle=True)
subprocess.run("ls", shell=True)
Model.load_from_checkpoint(path)
yaml.load(text)
yaml.unsafe_load(text)
os.system("ls")
__import__(name)
"""

GOOD = """
from pickle import dumps
model.eval()
re.compile("x")
torch.compile(model)
torch.load(path, weights_only=True)
numpy.load(path, allow_pickle=False)
subprocess.run(["ls"])
yaml.load(text, Loader=loader)
"""


def test_no_code_scan_finds_unsafe_calls() -> None:
    assert {line for line, _ in unsafe_code(ast.parse(BAD))} == set(range(2, 16))
    assert list(unsafe_code(ast.parse(GOOD))) == []


def test_no_code_of_the_package_reads_pickle_or_evaluates_text() -> None:
    assert len(SOURCES) > 100
    assert [
        f"{path}:{line}: {what}" for path in SOURCES for line, what in unsafe_code(ast.parse(path.read_text()))
    ] == []
