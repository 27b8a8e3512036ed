"""One page that needs nothing but itself: no script, no font and no picture from anywhere else."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from pamiq_exp.analysis.figures import COLOURS, INK
from pamiq_exp.analysis.tables import Table, text
from pamiq_exp.run_folder.media import media_type, read_media

_DARK = dict(
    zip(
        (INK, *COLOURS),
        ("#e6e6ea", "#4aa8e0", "#f08a4b", "#35c79a", "#e09cc4", "#d4b13f", "#8fd0f7", "#b98ad6"),
        strict=True,
    )
)
_POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1f; --soft: #5b5b66; --page: #ffffff; --card: #f6f6f8; --line: #d9d9e0;
  --accent: #0062a0; --warn: #fff3d6; --warn-line: #d9a400; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6ea; --soft: #a5a5b2; --page: #17171b; --card: #202026;
  --line: #3a3a44; --accent: #6cb8ee; --warn: #3a3015; --warn-line: #b08a1c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .2rem; } h2 { font-size: 1.25rem; margin: 2.4rem 0 .6rem; padding-top: .4rem;
  border-top: 1px solid var(--line); } p.soft, figcaption { color: var(--soft); }
nav a { margin-right: 1rem; } a { color: var(--accent); }
p.soft { margin: 0; } .table { overflow-x: auto; margin: .3rem 0 1.4rem; max-height: 34rem; overflow-y: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .7rem; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
th { position: sticky; top: 0; background: var(--page); }
td.number, th.number { text-align: right; white-space: nowrap; }
td:first-child { overflow-wrap: break-word; min-width: 12rem; max-width: 30rem; }
figure { margin: 1rem 0 1.6rem; } figure img { max-width: 100%; height: auto; }
.films { display: flex; flex-wrap: wrap; gap: 1.2rem; } .films figure { margin: 0; max-width: 22rem; }
.films video, .films img { width: 20rem; max-width: 100%; image-rendering: pixelated; border: 1px solid var(--line); }
ul.warn { background: var(--warn); border-left: 4px solid var(--warn-line);
  padding: .7rem 1rem .7rem 2rem; margin: 1rem 0; }
pre { background: var(--card); padding: .8rem; overflow-x: auto; font-size: .85rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
summary { cursor: pointer; color: var(--accent); }
@media print { .table { max-height: none; overflow: visible; } figure { break-inside: avoid; } }
"""


class Markup(str):
    """Text that is HTML already; all other text is escaped."""

    __slots__ = ()


def tag(name: str, *children: str, **attributes: str | None) -> Markup:
    """Return an element. Children that are no `Markup`, and all attributes, are escaped.

    Names of attributes are written as Python allows (`class_`, `aria_label`); one that is None is left out.
    """
    words = [
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    ]
    inner = "".join(child if isinstance(child, Markup) else escape(child) for child in children)
    return Markup(f"<{name}{''.join(words)}>{inner}</{name}>")


def page(title: str, subtitle: str, warnings: Sequence[str], sections: Mapping[str, Sequence[Markup]]) -> str:
    """Return the whole page; sections without content are left out."""
    filled = {name: parts for name, parts in sections.items() if parts}
    links = [tag("a", name, href=f"#{_slug(name)}") for name in filled]
    body = [tag("h1", title), tag("p", subtitle, class_="soft"), tag("nav", *links)]
    if warnings:
        body.append(tag("ul", *(tag("li", warning) for warning in warnings), class_="warn"))
    for name, parts in filled.items():
        body += [tag("h2", name, id=_slug(name)), *parts]
    head = [
        Markup('<meta charset="utf-8">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'),
        Markup('<link rel="icon" href="data:,">'),
        tag("title", title),
        tag("style", Markup(_STYLE)),
    ]
    return f"<!doctype html>\n{tag('html', tag('head', *head), tag('body', *body), lang='en')}\n"


def table(content: Table) -> Markup:
    """Return a table; addresses in it are links, and paths are relative to the folder that they share."""
    classes = ["number" if content.is_numeric(index) else None for index in range(len(content.columns))]
    head = tag("tr", *(tag("th", column, class_=kind) for column, kind in zip(content.columns, classes, strict=True)))
    rows = [
        tag(
            "tr",
            *(
                tag("td", _linked(text(cell).removeprefix(content.below)), class_=kind)
                for cell, kind in zip(row, classes, strict=True)
            ),
        )
        for row in content.rows
    ]
    title = f"{content.title}; below {content.below}" if content.below else content.title
    whole = tag("table", tag("thead", head), tag("tbody", *rows), aria_label=title)
    return tag("div", tag("p", title, class_="soft"), tag("div", whole, class_="table", tabindex="0"))


def drawing(svg: str, title: str) -> Markup:
    """Return a figure whose colors follow the reader's choice of light or dark."""
    start = svg.index("<svg")
    opening = svg.index(">", start) + 1
    colors = "".join(f"--c{index}:{color};" for index, color in enumerate(_DARK))
    dark = "".join(f"--c{index}:{color};" for index, color in enumerate(_DARK.values()))
    body = svg[opening:]
    for index, color in enumerate(_DARK):
        body = body.replace(color, f"var(--c{index})")
    style = f"<style>svg{{{colors}}}@media(prefers-color-scheme:dark){{svg{{{dark}}}}}</style>"
    source = _data("image/svg+xml", (svg[start:opening] + style + body).encode())
    return tag("figure", Markup(f'<img src="{source}" alt="{escape(title)}">'), tag("figcaption", title))


def film(path: Path, caption: str, link: str | None) -> Markup:
    """Return a video or picture: inside the page, or, given a link, as that. Raises OSError."""
    if link is not None:
        return tag("figure", tag("a", path.name, href=link), tag("figcaption", caption))
    kind = media_type(path.name) or ""
    source = _data(kind, read_media(path.parent.parent, path.name))
    if kind.startswith("video"):
        shown = tag("video", controls="", muted="", loop="", preload="metadata", src=source)
    else:
        shown = Markup(f'<img src="{source}" alt="{escape(caption)}">')
    return tag("figure", shown, tag("figcaption", caption))


def films(items: Iterable[Markup]) -> Markup:
    """Return videos and pictures side by side."""
    return tag("div", *items, class_="films")


def details(title: str, *content: Markup) -> Markup:
    """Return something that opens when it is wanted."""
    return tag("details", tag("summary", title), *content)


def _linked(value: str) -> str:
    return tag("a", value, href=value, rel="noreferrer") if value.startswith(("https://", "http://")) else value


def _slug(name: str) -> str:
    return "".join(character if character.isalnum() else "-" for character in name.lower())


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
