"""The command palette: every action as `noun: Verb`, wherever one is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import msgspec
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.markup import escape

from .actions import ACTS, Act

if TYPE_CHECKING:
    from .app import UnfedApp

HIDDEN = ("app.palette", "prompt.newline")
"""Pointless to call from the palette."""

PAGES = ("gallery", "compare", "fleet", "runs", "plugins")


class Entry(msgspec.Struct, frozen=True):
    """One line of the palette. `text` reads `noun: Verb`."""

    text: str
    about: str
    run: Callable[[], Any] | Callable[[], Awaitable[Any]]


class Actions(Provider):
    """Every declared action, and what the current screen adds (such as `split: Cancel`)."""

    def entries(self) -> list[Entry]:
        app = cast("UnfedApp", self.app)
        here = app.page.mode if app.page is not None else ""
        out = list(app.page.palette()) if app.page is not None else []
        near = {here: 0, "prompt": 0 if here == "compare" else 2, "app": 1}
        acts = (act for act in ACTS if act.scope in ("app", "prompt", *PAGES) and act.id not in HIDDEN)
        for act in sorted(acts, key=lambda act: near.get(act.scope, 2)):
            out.append(Entry(act.verb, f"{act.about}  {app.keys_of(act.id)}  {act.id}", partial(self._run, act)))
        return out

    async def _run(self, act: Act) -> None:
        """Go to the action's screen, where it has one, and run it there."""
        app = cast("UnfedApp", self.app)
        if act.scope == "app":
            await app.run_action(act.action)
            return
        await app.go("compare" if act.scope == "prompt" else act.scope)
        if (page := app.page) is not None:
            target = page.query_one("#prompt") if act.scope == "prompt" else page
            await app.run_action(act.action, target)

    async def discover(self) -> Hits:
        for entry in self.entries():
            yield DiscoveryHit(escape(entry.text), entry.run, text=entry.text, help=escape(entry.about))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for entry in self.entries():
            if (score := matcher.match(entry.text)) > 0:
                shown = matcher.highlight(escape(entry.text))
                yield Hit(score, shown, entry.run, text=entry.text, help=escape(entry.about))
