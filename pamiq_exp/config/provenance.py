"""Which file and line set a key of a config, and who wrote that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from hydra.core.override_parser.types import Override

from pamiq_exp.config.errors import ErrorDetail, Origin, least
from pamiq_exp.config.hydra_loader import ConfigFile, Source
from pamiq_exp.config.tree_paths import join, parent
from pamiq_exp.yaml_nodes import YamlNode


class Provenance(dict[str, Origin]):
    """What set each key, by address: `models.encoder.width`, `trainers[0].seed`.

    Attributes:
        anchored: Keys whose values stand elsewhere, too, by an alias of YAML.
    """

    def __init__(self) -> None:
        super().__init__()
        self.anchored: set[str] = set()
        self._touched: dict[str, Origin] = {}

    def set(self, key: str, origin: Origin) -> None:
        """Note what sets a key now."""
        self[key] = origin
        self._touched[key] = least(self._touched.get(key, origin), origin)

    def written_by(self, key: str) -> Origin | None:
        """Return who wrote the value at `key`; where no file says so, the least trusted that wrote what it lies in."""
        if key in self:
            return self[key]
        while (key := parent(key)) and key not in self._touched:
            pass
        return self._touched.get(key)

    def below(self, key: str) -> dict[str, Origin]:
        """Return what set the keys below a node."""
        return {name: origin for name, origin in self.items() if name.startswith((f"{key}.", f"{key}["))}

    def forget_below(self, key: str) -> None:
        """Forget the keys below a node that is replaced."""
        if key in self:
            for name in self.below(key):
                del self[name]

    def copy_to(self, key: str, copies: Iterable[str]) -> None:
        """Note that the node at `key` now stands at other addresses, too."""
        below = self.below(key)
        whole = self.written_by(key)
        for origin in below.values():
            whole = origin if whole is None else least(whole, origin)
        for copy in copies:
            for name, origin in below.items():
                self.set(copy + name[len(key) :], origin)
            if whole is not None:
                self.set(copy, whole)


def provenance_of(files: Sequence[ConfigFile], overrides: Sequence[Override], source: Source) -> Provenance:
    """Return what set each key of a composed config, in the order in which Hydra laid its files over each other.

    Raises:
        ConfigError: If a file cannot be read any more.
    """
    table = Provenance()
    for file in files:
        if (node := file.nodes()) is not None:
            _lay(table, file.package, node, file.origin, top=True)
    places = {file.place for file in files}
    for override in overrides:
        if f"{override.key_or_group}/{_text_of(override)}" not in places:  # else it chooses a file, no value
            _lay_word(table, override, source.origin_of_word(override.input_line or ""))
    return table


def origin_of(key: str, table: Mapping[str, Origin]) -> Origin | None:
    """Return what set `key` (of a node its `_target_`), or, where nothing did, the node that it belongs to."""
    while key:
        for candidate in (join(key, "_target_"), key):
            if candidate in table:
                return table[candidate]
        key = parent(key)
    return None


def located(errors: Iterable[ErrorDetail], table: Mapping[str, Origin]) -> list[ErrorDetail]:
    """Return the errors with what set their keys."""
    return [each if each.origin is not None else replace(each, origin=origin_of(each.key, table)) for each in errors]


def _lay(table: Provenance, key: str, node: YamlNode, file: Origin, *, top: bool = False) -> None:
    """Lay a node of a file over what is there: mappings are merged, everything else is replaced."""
    if node.kind == "scalar" and node.text == "???" and key in table:
        return  # a value that is left open replaces none
    if node.aliased and key:
        table.anchored.add(key)
    if node.kind != "mapping":
        table.forget_below(key)
    if key:
        table.set(key, replace(file, line=node.line))
    if node.kind == "mapping":
        for name, value in node.entries():
            if top and name.text == "defaults":
                continue
            below = join(key, name.text)
            _lay(table, below, value, file)
            if table[below].file == file.file:
                table.set(below, replace(file, line=name.line))
        return
    for index, item in enumerate(node.children):
        _lay(table, join(key, index), item, file)


def _text_of(override: Override) -> str:
    """The option of a group that a word of the command line chooses, if it does."""
    return "" if override.is_sweep_override() or override.is_delete() else str(override.value())


def _lay_word(table: Provenance, override: Override, origin: Origin) -> None:
    key = override.key_or_group
    if override.is_delete():
        table.forget_below(key)
        table.pop(key, None)
        return
    value = None if override.is_sweep_override() else override.value()
    if not isinstance(value, Mapping):
        table.forget_below(key)
    for name in _keys_below(value, key):
        table.set(name, origin)


def _keys_below(value: object, key: str) -> Iterable[str]:
    yield key
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _keys_below(item, join(key, str(name)))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _keys_below(item, join(key, index))
