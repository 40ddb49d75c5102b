"""Every action of the console, declared once: key binding, keymap entry, palette entry, help and tooltip."""

from __future__ import annotations

from typing import Literal

import msgspec
from textual.binding import Binding, BindingType

Scope = Literal["app", "gallery", "compare", "prompt", "fleet", "runs", "plugins", "modal", "setup"]


class Act(msgspec.Struct, frozen=True):
    """One action.

    Attributes:
        id: `scope.name`, the name it has in keymap.toml.
        keys: its keys as shipped, separated by commas.
        action: what textual runs in its scope.
        label: for the footer.
        verb: for the palette, after the noun: `noun: Verb`.
        about: one sentence for tooltip, help and palette.
        shown: whether the footer shows it.
        priority: whether it comes before what the focused widget does with the key.
    """

    id: str
    keys: str
    action: str
    label: str
    verb: str
    about: str
    shown: bool = False
    priority: bool = False

    @property
    def scope(self) -> str:
        return self.id.partition(".")[0]


# fmt: off
ACTS: tuple[Act, ...] = (
    # everywhere
    Act("app.help", "f1,question_mark", "app.explain", "Help", "help: Explain",
        "Explain what has the focus, and its keys.", shown=True),
    Act("app.gallery", "f2,1", "app.go('gallery')", "Gallery", "gallery: Open",
        "Cards of every backend, and the demo."),
    Act("app.compare", "f3,2", "app.go('compare')", "Compare", "compare: Open",
        "Ask a prompt of several backends at once."),
    Act("app.fleet", "f4,3", "app.go('fleet')", "Fleet", "fleet: Open",
        "The running parties: health, memory, traffic, logs."),
    Act("app.runs", "f5,4", "app.go('runs')", "Runs", "runs: Open",
        "Runs that were saved, and their export."),
    Act("app.plugins", "f8,5", "app.go('plugins')", "Plugins", "plugins: Open",
        "What is installed, what is missing."),
    Act("app.palette", "ctrl+p", "app.command_palette", "Palette", "palette: Open",
        "Find any action by its name.", shown=True),
    Act("app.theme", "ctrl+t", "app.change_theme", "Theme", "theme: Change",
        "Choose the colours; the choice is remembered."),
    Act("app.stop", "ctrl+c", "app.stop_run", "Stop", "run: Stop",
        "End the run in flight; what is done is kept."),
    Act("app.quit", "ctrl+q", "app.leave", "Quit", "console: Quit",
        "Stop every party and leave.", priority=True),
    # gallery
    Act("gallery.open", "enter", "open", "Go", "card: Open",
        "Run the demo, or compare with the card's backend.", shown=True),
    Act("gallery.demo", "d", "demo", "Run the demo", "demo: Run",
        "Ask the demo prompt of the chosen backends."),
    Act("gallery.pick", "space", "pick", "In or out", "card: Choose",
        "Put the card's backend into the comparison, or take it out.", shown=True),
    Act("gallery.next", "right,down", "move(1)", "Next card", "card: Next",
        "Go to the next card."),
    Act("gallery.back", "left,up", "move(-1)", "Card before", "card: Previous",
        "Go to the card before."),
    # compare
    Act("compare.setup", "ctrl+o", "setup", "Setup", "compare: Set up",
        "Choose profile, backends, options, sampling and links.", shown=True),
    Act("compare.race", "ctrl+r", "race", "Race", "race: Toggle",
        "Start all backends at once; timings then disturb each other.", shown=True),
    Act("compare.stop", "escape", "stop", "Stop all", "run: Stop all columns",
        "End the run in flight.", shown=True),
    Act("compare.example", "ctrl+g", "example", "Example", "prompt: Next example",
        "Put the next example prompt into the box.", shown=True),
    Act("compare.prompt", "slash", "prompt", "To the prompt", "prompt: Focus",
        "Go to the prompt box."),
    Act("compare.cancel", "x,delete", "cancel", "Cancel", "column: Cancel",
        "Cancel the focused column's query; the others go on.", shown=True),
    Act("compare.zoom", "z,enter", "zoom", "Zoom", "column: Zoom",
        "Show the focused column alone, or all of them again.", shown=True),
    Act("compare.copy", "y", "copy", "Copy", "column: Copy answer",
        "Copy the focused column's answer to the clipboard."),
    Act("compare.right", "right", "side(1)", "Next column", "column: Next",
        "Go to the column on the right."),
    Act("compare.left", "left", "side(-1)", "Column before", "column: Previous",
        "Go to the column on the left."),
    # the prompt box
    Act("prompt.send", "enter", "send", "Send", "prompt: Send",
        "Ask this prompt of every column.", shown=True, priority=True),
    Act("prompt.newline", "ctrl+n,alt+enter,shift+enter,ctrl+j", "newline", "New line", "prompt: New line",
        "Start a new line in the prompt.", priority=True),
    Act("prompt.older", "up", "older", "Older", "prompt: Older",
        "The prompt asked before, from the first line of the box."),
    Act("prompt.newer", "down", "newer", "Newer", "prompt: Newer",
        "The prompt asked after, from the last line of the box."),
    # fleet
    Act("fleet.kill", "k,delete", "kill", "Kill", "party: Kill",
        "Kill the selected party's process (kill -9), after asking.", shown=True),
    Act("fleet.restart", "r", "restart", "Restart", "party: Restart",
        "Start the selected party again under a new key.", shown=True),
    Act("fleet.start", "o", "start", "Start fleets", "fleet: Start",
        "Start the fleets of the chosen backends without a prompt.", shown=True),
    # runs
    Act("runs.open", "enter", "screen.open", "Details", "run: Show details",
        "Every result of the selected run.", shown=True),
    Act("runs.json", "e", "export('json')", "JSON", "run: Export JSON",
        "Write the selected run to a JSON file.", shown=True),
    Act("runs.csv", "c", "export('csv')", "CSV", "run: Export CSV",
        "Write the selected run's results to a CSV file.", shown=True),
    Act("runs.reload", "r", "reload", "Reload", "runs: Reload",
        "Read the list of runs again."),
    # dialogs
    Act("modal.close", "escape", "close", "Close", "dialog: Close",
        "Close this dialog and change nothing.", shown=True),
    Act("modal.copy", "y", "copy", "Copy", "dialog: Copy",
        "Copy the text to the clipboard.", shown=True),
    # the setup form
    Act("setup.apply", "f10,ctrl+s", "apply", "Apply", "setup: Apply",
        "Use this setup from now on.", shown=True),
)
# fmt: on

IDS: dict[str, Act] = {act.id: act for act in ACTS}


def bindings(scope: Scope, *only: str) -> list[BindingType]:
    """The bindings of a scope, for a `BINDINGS` class variable.

    Args:
        only: names within the scope; none: all of them.
    """
    wanted = [IDS[f"{scope}.{name}"] for name in only] if only else [act for act in ACTS if act.scope == scope]
    return [
        Binding(act.keys, act.action, act.label, show=act.shown, priority=act.priority, tooltip=act.about, id=act.id)
        for act in wanted
    ]
