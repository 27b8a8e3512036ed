"""What all pages share: header, states, notices, tables, numbers. All text from run folders goes through `ui.label`."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from urllib.parse import urlencode

from nicegui import context, ui

from pamiq_exp.formatting import clock, number_text, printable

SIGNS = {
    "running": ("▶", "live"), "starting": ("…", "wait"), "paused": ("⏸", "wait"), "pausing": ("⏸", "wait"),
    "stopping": ("■", "wait"), "waiting": ("·", "wait"), "finished": ("✓", "good"), "pruned": ("✂", "good"),
    "stopped": ("■", "wait"), "failed": ("✗", "bad"), "lost": ("✗", "bad"), "died": ("✗", "bad"),
    "unknown": ("?", "wait"),
}  # fmt: skip
"""How a state is marked: a sign beside its word, so that color is never needed, and the class of its color."""


class Appearance:
    """Light, dark or as the system says; for all pages of this server."""

    def __init__(self) -> None:
        self.dark: bool | None = None

    def next(self) -> bool | None:
        """Go on to the next choice."""
        order: list[bool | None] = [None, False, True]
        self.dark = order[(order.index(self.dark) + 1) % len(order)]
        return self.dark

    @property
    def words(self) -> str:
        """The choice in words."""
        return {None: "colors: system", False: "colors: light", True: "colors: dark"}[self.dark]


@contextmanager
def page(title: str, appearance: Appearance, *, root: str, control: bool) -> Iterator[None]:
    """Build the frame of a page; what is built meanwhile is its content."""
    ui.page_title(f"{title} - pamiq_exp")
    dark = ui.dark_mode(appearance.dark)

    def change() -> None:
        dark.value = appearance.next()
        button.set_text(appearance.words)

    with element("header", "d-header"):
        ui.link("pamiq_exp", "/")
        ui.label(root).classes("d-dim d-text d-grow")
        ui.label("with control" if control else "read-only").classes("d-dim")
        button = ui.button(appearance.words, on_click=change).props("flat dense no-caps")
    with element("div", "d-main") as main:
        yield
    ui.skip_link(target=main)


def repeat(seconds: float, update: Callable[[], Awaitable[None]], *, once: bool = False) -> None:
    """Call a function every so many seconds, or once after them, for as long as the page is open.

    A browser may leave while the function waits for a file: what fails afterwards, for want of a page, is no error.
    """
    client = context.client

    async def call() -> None:
        try:
            await update()
        except Exception:
            if not client.is_deleted:
                raise

    ui.timer(seconds, call, once=once)


def element(tag: str, classes: str = "") -> ui.element:
    """Return an HTML element."""
    return ui.element(tag).classes(classes)


def text(tag: str, content: str, classes: str = "") -> ui.label:
    """Return an element that shows text as it is, but for what could turn the letters after it around."""
    label = ui.label(printable(content)).classes(classes)
    label.tag = tag
    return label


def heading(content: str) -> None:
    """Add the heading of a card."""
    text("h2", content, "d-heading")


class StateMark:
    """Sign and word of a state."""

    def __init__(self, state: str = "unknown") -> None:
        self._label = ui.label().classes("d-state").props('role="status"')
        self._state = ""
        self.set(state)

    def set(self, state: str) -> None:
        """Show another state."""
        if state != self._state:
            self._state = state
            sign, kind = SIGNS.get(state, ("?", "wait"))
            self._label.set_text(f"{sign} {state}")
            self._label.classes(replace=f"d-state d-state-{kind}")


class Notices:
    """Lines that tell what is wrong; hidden while there are none."""

    def __init__(self, *, bad: bool = True) -> None:
        self._box = element("div").props('role="alert"')
        self._shown: tuple[str, ...] = ()
        self._classes = "d-notice d-notice-bad" if bad else "d-notice"
        self._box.set_visibility(False)

    def set(self, lines: Sequence[str]) -> None:
        """Show these lines."""
        if tuple(lines) != self._shown:
            self._shown = tuple(lines)
            self._box.clear()
            with self._box:
                for line in lines:
                    ui.label(line).classes(self._classes)
            self._box.set_visibility(bool(lines))


def facts_box() -> Callable[[Sequence[tuple[str, str]]], None]:
    """Add a list of names and values, and return what sets it."""
    box = element("div", "d-facts")
    shown: list[tuple[str, str]] = []
    labels: list[ui.label] = []

    def show(pairs: Sequence[tuple[str, str]]) -> None:
        if [name for name, _ in pairs] != [name for name, _ in shown]:
            box.clear()
            labels.clear()
            with box:
                for name, value in pairs:
                    ui.label(name).classes("d-dim")
                    labels.append(ui.label(value))
        else:
            for label, (_, value) in zip(labels, pairs, strict=True):
                label.set_text(value)
        shown[:] = pairs

    return show


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Add a table of text."""
    with element("div", "d-table"), element("table"):
        with element("thead"), element("tr"):
            for column in columns:
                text("th", column)
        with element("tbody"):
            for row in rows:
                with element("tr"):
                    for cell in row:
                        text("td", cell)


def address(path: str, **values: str | Sequence[str]) -> str:
    """Return the address of one of our pages."""
    return f"{path}?{urlencode(values, doseq=True)}"


def number(value: float | int | None, unit: str = "") -> str:
    """Return a number for people, with its unit."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{number_text(value)} {unit}".rstrip()


def duration(seconds: float | None) -> str:
    """Return a duration as `h:mm:ss`."""
    return "-" if seconds is None or not math.isfinite(seconds) else clock(seconds)


def moment(stamp: str) -> str:
    """Return an ISO 8601 time in the time zone of this machine, to the second; the text itself if it is none."""
    try:
        return datetime.fromisoformat(stamp).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return stamp[:40]
