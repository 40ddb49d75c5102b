"""The half of the app that makes things run: workers that talk to the desk and the session and only post messages."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec
from textual import on, work
from textual.app import App
from textual.message import Message

from unfed.plugins import UnfedError

from ..results.record import Prompt, Record
from ..runner.notices import Notice
from .board import Board
from .desk import Choice, Desk, SessionLike
from .figures.parties import Key
from .history import History
from .survey import Survey, as_failure, survey


class Heard(Message):
    """The session said something."""

    def __init__(self, notice: Notice) -> None:
        super().__init__()
        self.notice = notice


class Surveyed(Message):
    """It is known what can be run."""

    def __init__(self, survey: Survey) -> None:
        super().__init__()
        self.survey = survey


class Over(Message):
    """A run ended: with a record, or with what went wrong."""

    def __init__(self, record: Record | None) -> None:
        super().__init__()
        self.record = record


class Wrong(Message):
    """Something failed that has no column to stand in."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = as_failure(error)
        strange = not isinstance(error, UnfedError)
        self.details = "".join(traceback.format_exception(error)) if strange else ""


class Running(App[int], inherit_bindings=False):
    """State and work; `UnfedApp` adds what is seen."""

    def __init__(self, desk: Desk, *, profile: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.desk, self.clock = desk, clock
        self.board, self.history = Board(), History()
        self.survey: Survey | None = None
        self.choice = Choice(profile=profile)
        self.version = 0
        self.label: str | None = None
        self._session: SessionLike | None = None
        self._asked = self._example = 0
        self._demo_waits = False

    @property
    def session(self) -> SessionLike:
        """The session, made when it is first needed. Raises `UnfedError`."""
        if self._session is None:
            self._session = self.desk.session()
        return self._session

    def changed(self) -> None:
        """Something that screens show is different now."""
        self.version += 1

    def watch_session(self, notice: Notice) -> None:
        """What the session calls, from whichever thread."""
        self.post_message(Heard(notice))

    @on(Heard)
    def _hear(self, message: Heard) -> None:
        self.board.hear(message.notice, self.clock())
        self.changed()

    def sync(self) -> bool:
        """Ask the session for its parties; answers whether something is different."""
        return self._session is not None and self.board.sync(self._session.parties())

    # what can be run

    @work(thread=True, exclusive=True, group="survey", exit_on_error=False)
    def look(self, choice: Choice | None = None, profile: str | None = None) -> None:
        """Survey `choice`, or what `profile` asks for."""
        try:
            self.post_message(Surveyed(survey(self.desk, choice or self.desk.choice(profile))))
        except Exception as error:
            self.post_message(Wrong(error))

    @on(Surveyed)
    def _surveyed(self, message: Surveyed) -> None:
        self.survey, self.choice = message.survey, message.survey.choice
        self.board.show(message.survey.columns)
        if message.survey.problem is not None:
            self.post_message(Wrong(UnfedError.of(message.survey.problem)))
        self.changed()
        if self._demo_waits:
            self._demo_waits = False
            self.demo()

    @work(exclusive=True, group="warm", exit_on_error=False)
    async def warm(self) -> None:
        """Start the fork server while the operator still reads."""
        try:
            session = await asyncio.to_thread(lambda: self.session)
            await session.warm()
        except Exception as error:
            self.post_message(Wrong(error))

    # runs

    def demo(self) -> None:
        """Ask the first example; once it is known, if it is not yet."""
        if self.survey is None:
            self._demo_waits = True
        elif not self.survey.examples:
            self.post_message(Wrong(UnfedError("this profile has no example prompts", hint="type one in Compare")))
        elif self.ask(self.survey.examples[0].prompt):
            self.call_later(self.run_action, "go('compare')")

    def next_example(self) -> str | None:
        """The examples in turn."""
        if self.survey is None or not self.survey.examples:
            self.notify("This profile has no example prompts.", severity="warning")
            return None
        self._example += 1
        return self.survey.examples[(self._example - 1) % len(self.survey.examples)].prompt

    def ask(self, text: str) -> bool:
        """Run one prompt; says why where it cannot be, and answers whether it was taken."""
        if not text.strip():
            self.notify("The prompt is empty: type something, or bring an example.", severity="warning")
        elif self.board.running:
            self.notify("A run is in flight: wait for it, or stop it with escape.", severity="warning")
        elif not self.board.columns:
            self.notify("No backend is chosen: open the setup first.", severity="warning")
        else:
            self._asked += 1
            examples = {each.prompt: each for each in (self.survey.examples if self.survey else ())}
            known = examples.get(text)
            self.label = known.label if known is not None else None
            prompt = Prompt(id=known.id if known is not None else f"typed-{self._asked}", prompt=text, label=self.label)
            self.history.add(text)
            self.board.begin(prompt.id, text, race=self.choice.race)
            self.changed()
            self._run(self.choice, prompt)
            return True
        return False

    @work(group="run", exit_on_error=False)
    async def _run(self, choice: Choice, prompt: Prompt) -> None:
        record: Record | None = None
        try:
            request = await asyncio.to_thread(self.desk.request, choice, prompt)
            session = await asyncio.to_thread(lambda: self.session)
            record = await session.run(request, self.watch_session)
        except Exception as error:
            self.post_message(Wrong(error))
        finally:
            self.post_message(Over(record))
        if record is not None:
            await self._guarded(asyncio.to_thread(self.desk.save, record))

    @on(Over)
    def _over(self, message: Over) -> None:
        self.board.record = message.record or self.board.record
        self.board.end()
        self.changed()

    def cancel(self, variant: str) -> None:
        """Cancel one column's query."""
        column = self.board.columns.get(variant)
        if column is not None and column.live and self.board.running:
            self.session.cancel(variant)
        else:
            self.notify(f"{variant} has no query in flight.", severity="warning", markup=False)

    def action_stop_run(self) -> None:
        if self.board.running:
            self.session.interrupt()
        else:
            self.notify("No run is in flight. ctrl+q quits.")

    # fleets

    @work(group="fleet", exit_on_error=False)
    async def start_fleets(self) -> None:
        """Start the fleets of the chosen backends."""
        choice = self.choice

        async def start() -> None:
            request = await asyncio.to_thread(self.desk.request, choice, None)
            session = await asyncio.to_thread(lambda: self.session)
            for error in (await session.open(request, self.watch_session)).values():
                self.post_message(Wrong(error))

        await self._guarded(start())

    @work(group="fleet", exit_on_error=False)
    async def tell_party(self, what: Literal["kill", "restart"], key: Key) -> None:
        """Kill or restart one party."""
        await self._guarded(self.session.kill(*key) if what == "kill" else self.session.restart(*key))

    async def _guarded(self, work: Awaitable[object]) -> None:
        try:
            await work
        except Exception as error:
            self.post_message(Wrong(error))

    # the choice

    def choose(self, choice: Choice) -> None:
        """Take a new choice; the next run is made from it."""
        self.choice = choice
        self.look(choice)
        self.changed()

    def pick(self, name: str) -> None:
        """Put a backend into the comparison or take it out."""
        chosen = self.choice.backends
        fresh = tuple(each for each in chosen if each != name) if name in chosen else (*chosen, name)
        self.choose(msgspec.structs.replace(self.choice, backends=fresh))

    def toggle_race(self) -> None:
        if self.board.running:
            self.notify("The mode changes between runs, not within one.", severity="warning")
        else:
            self.choice = msgspec.structs.replace(self.choice, race=not self.choice.race)
            self.changed()
