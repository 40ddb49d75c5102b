"""Tells on stderr how a run goes: a line for what happened, and on a terminal one live line for what happens now."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Sized

from unfed.plugins import Failure, Note, Phase, Token

from ..fleet.state import PartyState
from ..results.record import News, Result
from ..runner.notices import Answering, FleetFailed, FleetReady, FleetStarting, Notice, PartyChanged, ResultReady, Told
from ..runner.request import Request
from .terminal import clean, cut, seconds

EVERY = 0.1
"""Seconds between two live lines."""


class Narrator:
    """A watcher for the command line.

    Attributes:
        unstarted: variants whose fleet could not start.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.unstarted: set[str] = set()
        self._quiet = quiet
        self._live = not quiet and sys.stderr.isatty()
        self._line = ""
        self._shown = 0.0
        self._done = 0
        self._all = 0
        self._tokens = 0
        self._phase = ""
        self._health: dict[tuple[str, str], str] = {}

    def begin(self, request: Request) -> None:
        self._all = len(request.prompts) * len(request.variants)
        self.say(f"{_count(request.prompts, 'prompt')} × {_count(request.variants, 'variant')}")

    def say(self, line: str) -> None:
        """A line that stays."""
        if not self._quiet:
            self._write(f"{self._erased()}{clean(line)}\n")

    def end(self) -> None:
        self._write(self._erased())

    def __call__(self, notice: Notice) -> None:
        match notice:
            case FleetStarting(variant=variant):
                self._now(f"{variant}: starting")
            case FleetReady(variant=variant, seconds=taken):
                self.say(f"{variant}: ready in {seconds(taken)}")
            case FleetFailed(variant=variant, error=error):
                self.unstarted.add(variant)
                self.say(f"{variant}: could not start: {error}")
            case PartyChanged(party=party):
                self._party(party)
            case Answering(variant=variant, prompt_id=prompt_id, event=event):
                self._event(variant, prompt_id, event)
            case ResultReady(result=result):
                self._result(result)
            case Told(news=news):
                self._note(news.variant, "no query", news)
            case _:
                pass

    def _event(self, variant: str, prompt_id: str, event: object) -> None:
        if isinstance(event, Token):
            self._tokens += 1
        elif isinstance(event, Note):
            self._note(variant, prompt_id, event)
        elif isinstance(event, Phase):
            self._phase = event.name if event.seconds is None else ""
        else:
            self._tokens, self._phase = 0, ""
        doing = f"{self._phase} · " if self._phase else ""
        self._now(f"[{self._done + 1}/{self._all}] {variant} · {prompt_id} · {doing}{self._tokens} tokens")

    def _note(self, variant: str, of: str, note: Note | News) -> None:
        whom = f"{note.party}: " if note.party and note.party not in note.text else ""
        self.say(f"{variant} · {of} · {note.kind}: {whom}{note.text}")

    def _result(self, result: Result) -> None:
        self._done += 1
        error: Failure | None = result.error
        told = (
            seconds(result.seconds.total) if result.status == "ok" else f"{result.status}: {error or 'no reason given'}"
        )
        line = f"[{self._done}/{self._all}] {result.variant} {result.prompt_id} {told}"
        if self._live and result.status == "ok":
            self._now(line)
        else:
            self.say(line)

    def _party(self, party: PartyState) -> None:
        """Only what went wrong, or right again, is worth a line."""
        key = (party.variant, party.name)
        before, self._health[key] = self._health.get(key, "starting"), party.health
        if before != party.health and (
            party.health in ("hung", "lost", "restarting") or before in ("hung", "restarting")
        ):
            self.say(f"{party.variant}/{party.name}: {party.health}{f' ({party.note})' if party.note else ''}")

    def _now(self, line: str) -> None:
        if self._live and time.monotonic() - self._shown >= EVERY:
            self._shown = time.monotonic()
            room = shutil.get_terminal_size((80, 24)).columns - 1
            before, self._line = self._erased(), cut(clean(line), room)
            self._write(before + self._line)

    def _erased(self) -> str:
        """What takes the live line away."""
        erased, self._line = ("\r\x1b[2K" if self._line else ""), ""
        return erased

    def _write(self, text: str) -> None:
        if text:
            with contextlib.suppress(OSError, ValueError):  # a terminal that is gone stops nothing
                sys.stderr.write(text)
                sys.stderr.flush()


def _count(things: Sized, word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"
