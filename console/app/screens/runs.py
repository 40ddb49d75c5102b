"""Runs: what was saved, in detail and out as a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from textual import on, work
from textual.widget import Widget
from textual.widgets import DataTable, Static

from ...results.tables import Summary
from ..actions import bindings
from ..figures.runs import HEADS, detail, row
from ..figures.text import Line
from ..widgets.lines import content
from ..widgets.live_table import LiveTable
from .page import Page
from .read import Read


class RunTable(LiveTable):
    BINDINGS = bindings("runs", "open")
    HELP = (
        "Saved runs, the latest first. Enter shows every result of one; e writes it as JSON, c its results as CSV, "
        "into the folder that the console was started in."
    )


class RunsScreen(Page):
    """History and export."""

    mode = "runs"
    period = 0.5
    BINDINGS = bindings("runs", "json", "csv", "reload")

    def body(self) -> Iterable[Widget]:
        yield RunTable(HEADS, id="runs")
        yield Static(id="no-runs", markup=False)

    def on_screen_resume(self) -> None:
        self.action_reload()

    @work(thread=True, exclusive=True, group="runs", exit_on_error=False)
    def action_reload(self) -> None:
        try:
            runs = self.unfed.desk.runs()
        except Exception as error:
            self.app.call_from_thread(self.unfed.trouble, error)
            return
        self.app.call_from_thread(self._show, runs)

    def _show(self, runs: Sequence[Summary]) -> None:
        table = self.query_one(RunTable)
        table.show({run.run_id: row(run) for run in runs})
        if table.display != bool(runs):
            table.display = bool(runs)
        if runs and self.focused is None:
            self.call_after_refresh(table.focus)
        self.query_one("#no-runs").display = not runs
        key = self.unfed.keys_of("app.compare")
        lines: list[Line] = [
            (("No run is saved yet.", "strong"),),
            ((f"{key} goes to Compare; every run that ends is saved here", "accent"),),
        ]
        self.query_one("#no-runs", Static).update(content(lines))

    @property
    def selected(self) -> str | None:
        return self.query_one(RunTable).selected()

    @on(DataTable.RowSelected)
    def action_open(self) -> None:
        if (run_id := self.selected) is not None:
            self._read(run_id)

    @work(thread=True, exclusive=True, group="runs", exit_on_error=False)
    def _read(self, run_id: str) -> None:
        try:
            record = self.unfed.desk.record(run_id)
        except Exception as error:
            self.app.call_from_thread(self.unfed.trouble, error)
            return
        self.app.call_from_thread(self.app.push_screen, Read(f"run {run_id}", lambda width: detail(record, width)))

    def action_export(self, kind: Literal["json", "csv"]) -> None:
        if (run_id := self.selected) is not None:
            self._export(run_id, kind, Path.cwd() / f"unfed-{run_id}.{kind}")

    @work(thread=True, group="export", exit_on_error=False)
    def _export(self, run_id: str, kind: Literal["json", "csv"], path: Path) -> None:
        try:
            self.unfed.desk.export(run_id, kind, path)
        except Exception as error:
            self.app.call_from_thread(self.unfed.trouble, error)
            return
        self.app.call_from_thread(self.notify, f"Written to {path}", markup=False)
