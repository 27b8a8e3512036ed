"""The page of everything below a folder: search, pin, compare, report."""

from __future__ import annotations

import json
from typing import Any

from nicegui import run, ui

from pamiq_exp.dashboard import shell
from pamiq_exp.dashboard.reader import RunLine
from pamiq_exp.dashboard.watched import Watched
from pamiq_exp.formatting import printable
from pamiq_exp.run_folder.reader import Place
from pamiq_exp.run_folder.records import HEADLINE_METRICS

UPDATE_SECONDS = 5.0
MOST_COMPARED = 24
_PINS = "pamiq_exp pins"

_EMPTY = (
    "No runs here yet. A run folder has a manifest.json; runs land in outputs/. Start one with\n"
    "    python -m pamiq_exp experiment=curiosity_noise_world\n"
    "and this page shows it within a few seconds."
)


class FolderPage:
    """Builds the page and keeps it up to date."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._pins: set[str] = set()
        self._found = ""
        self._lines: list[RunLine] = []

    def build(self) -> None:
        """Add the elements."""
        with shell.element("section", "d-card"), shell.element("div", "d-row"):
            shell.text("h1", "runs", "d-title")
            self._count = ui.label().classes("d-dim").props('role="status"')
            ui.input("search name, state, choices", on_change=self._search).props(
                "dense outlined clearable debounce=200"
            ).classes("d-push").style("min-width: 240px")
            self._compare = ui.button("compare", on_click=self._open_compare).props("dense outline no-caps")
            self._report = ui.button("report", on_click=self._open_report).props("dense outline no-caps")
        self._empty = ui.label(_EMPTY).classes("d-notice")
        self._empty.set_visibility(False)
        self._sweeps_card = shell.element("section", "d-card")
        with self._sweeps_card:
            shell.heading("sweeps")
            self._sweeps = shell.element("div")
        self._table = run_table()
        self._table.on("pin", self._toggle_pin)
        self._shown_sweeps: list[Place] | None = None
        shell.repeat(UPDATE_SECONDS, self.update)
        shell.repeat(0.01, self._load_pins, once=True)

    async def update(self) -> None:
        """Look at the folder again."""
        places = await run.io_bound(self._watched.runs.look)
        lines = await run.io_bound(self._watched.runs.lines)
        if places is None or lines is None:
            return
        sweeps = [place for place in places if place.kind == "sweep"]
        if sweeps != self._shown_sweeps:
            self._shown_sweeps = sweeps
            self._sweeps_card.set_visibility(bool(sweeps))
            self._sweeps.clear()
            with self._sweeps:
                for place in sweeps:
                    name = place.key if place.key != "." else place.folder.name
                    with shell.element("div"):
                        ui.link(name, shell.address("/sweep", key=place.key))
        if lines != self._lines or not lines:
            self._lines = lines
            self._show()

    def _show(self) -> None:
        words = self._found.lower().split()
        found = [line for line in self._lines if all(word in _text(line) for word in words)]
        found.sort(key=lambda line: line.place.key not in self._pins)
        self._empty.set_visibility(not self._lines)
        self._table.set_visibility(bool(self._lines))
        self._count.set_text(f"{len(found):,} of {len(self._lines):,}")
        self._table.rows = [_row(line, line.place.key in self._pins) for line in found]
        self._table.update()

    def _search(self, event: Any) -> None:
        self._found = str(event.value or "")
        self._show()

    async def _load_pins(self) -> None:
        await self.update()
        try:
            kept = await ui.run_javascript(f"localStorage.getItem({json.dumps(_PINS)})", timeout=3.0)
            pins = json.loads(kept) if isinstance(kept, str) else []
        except (TimeoutError, ValueError):
            return
        if isinstance(pins, list):
            self._pins = {str(key) for key in pins[:10_000]}
            self._show()

    def _toggle_pin(self, event: Any) -> None:
        key = str(event.args)
        if self._watched.runs.find(key) is not None:
            self._pins ^= {key}
            kept = json.dumps(json.dumps(sorted(self._pins)))
            ui.run_javascript(f"localStorage.setItem({json.dumps(_PINS)}, {kept})")
            self._show()

    def _chosen(self) -> list[str]:
        """The runs that are selected, or else those that are pinned."""
        selected = [str(row["key"]) for row in self._table.selected]
        return selected or [line.place.key for line in self._lines if line.place.key in self._pins]

    def _open_compare(self) -> None:
        chosen = self._chosen()
        if len(chosen) < 2:
            ui.notify("select or pin at least two runs")
        elif len(chosen) > MOST_COMPARED:
            ui.notify(f"select at most {MOST_COMPARED} runs: more curves cannot be distinguished")
        else:
            ui.navigate.to(shell.address("/compare", key=chosen))

    def _open_report(self) -> None:
        chosen = self._chosen() or [line.place.key for line in self._lines]
        if chosen:
            ui.navigate.to(shell.address("/report", key=chosen) if len(chosen) < len(self._lines) else "/report")
        else:
            ui.notify("there are no runs yet")


def run_table() -> ui.table:
    """Add an empty table of runs. Its cells are filled by templates that take values for text."""
    columns = [
        {"name": "pin", "label": "pin", "field": "pin", "sortable": True, "align": "left"},
        {"name": "run", "label": "run", "field": "run", "sortable": True, "align": "left"},
        {"name": "state", "label": "state", "field": "state", "sortable": True, "align": "left"},
        {"name": "experiment", "label": "experiment", "field": "experiment", "sortable": True, "align": "left"},
        {"name": "seed", "label": "seed", "field": "seed", "sortable": True},
        {"name": "steps", "label": "steps", "field": "steps", "sortable": True},
        {"name": "result", "label": "result", "field": "result", "sortable": True},
        {"name": "choices", "label": "choices", "field": "choices", "sortable": True, "align": "left"},
        {"name": "started", "label": "started", "field": "started", "sortable": True, "align": "left"},
    ]
    table = ui.table(columns=columns, rows=[], row_key="key", selection="multiple", pagination=50)
    table.props("dense wrap-cells")
    table.add_slot(
        "body-cell-pin",
        """<q-td :props="props"><q-btn flat dense no-caps
        :aria-label="(props.row.pin ? 'unpin ' : 'pin ') + props.row.run" :aria-pressed="String(props.row.pin)"
        @click="$parent.$emit('pin', props.row.key)">{{ props.row.pin ? '★' : '☆' }}</q-btn></q-td>""",
    )
    table.add_slot(
        "body-cell-run",
        """<q-td :props="props"><div class="d-wide"><a :href="props.row.href">
        {{ props.row.run }}</a></div></q-td>""",
    )
    table.add_slot(
        "body-cell-state",
        """<q-td :props="props"><span :class="'d-state d-state-' + props.row.mark">
        {{ props.row.sign }} {{ props.row.state }}</span>
        <div v-if="props.row.reason" class="d-text d-dim d-wide">{{ props.row.reason }}</div></q-td>""",
    )
    for name, width in (("experiment", "d-wide"), ("choices", "d-wider")):
        cell = f"""<q-td :props="props"><div class="{width}">{{{{ props.row.{name} }}}}</div></q-td>"""
        table.add_slot(f"body-cell-{name}", cell)
    table.add_slot("body-cell-steps", """<q-td :props="props">{{ props.row.steps_text }}</q-td>""")
    table.add_slot(
        "body-cell-result",
        """<q-td :props="props"><div class="d-nowrap d-dim">{{ props.row.result_name }}</div>
        {{ props.row.result_text }}</q-td>""",
    )
    return table


def _row(line: RunLine, pinned: bool) -> dict[str, Any]:
    files, state, metrics = line.files, line.state, line.metrics
    sign, mark = shell.SIGNS.get(state, ("?", "wait"))
    key = line.place.key
    metric = next((name for name in HEADLINE_METRICS if name in metrics), None)
    reason = files.reason if state in ("failed", "stopped") else ""
    return {
        "key": key, "pin": pinned, "run": printable(key if key != "." else line.place.folder.name),
        "href": shell.address("/run", key=key), "state": state, "sign": sign, "mark": mark,
        "reason": printable("; ".join([*([reason[:200]] if reason else []), *files.errors])),
        "experiment": printable(files.experiment_name), "seed": files.seed,
        "steps": line.steps, "steps_text": shell.number(line.steps),
        "result": metrics[metric] if metric else None,
        "result_name": metric or "",
        "result_text": shell.number(metrics[metric]) if metric else "",
        "choices": printable(" ".join(files.overrides)[:300]),
        "started": shell.moment(str(files.manifest.get("started") or "")),
    }  # fmt: skip


def _text(line: RunLine) -> str:
    files = line.files
    words = (line.place.key, files.experiment_name, line.state, files.reason, f"seed={files.seed}", *files.overrides)
    return " ".join(words).lower()
