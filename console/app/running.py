"""The half of the app that makes things run: workers that talk to the desk and the session and only post messages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Literal

from textual import on, work

from unfed.plugins import UnfedError, cards_of

from ..results.record import Prompt, Record
from .choosing import Choosing
from .desk import Choice
from .figures.parties import Key
from .figures.text import typed
from .messages import Over, Wrong
from .survey import as_failure


class Running(Choosing, inherit_bindings=False):
    """Workers over the state that screens draw."""

    _asked = _example = 0
    _demo_waits = _stopped = False

    def keys_of(self, name: str) -> str:
        """The first key of an action as it is now, the way the footer writes it."""
        raise NotImplementedError

    def after_survey(self) -> None:
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
        elif self.ask(typed(self.survey.examples[0])):
            self.call_later(self.run_action, "app.go('compare')")

    def next_example(self) -> str | None:
        """The examples in turn."""
        if self.survey is None or not self.survey.examples:
            self.notify("This profile has no example prompts.", severity="warning")
            return None
        self._example += 1
        return typed(self.survey.examples[(self._example - 1) % len(self.survey.examples)])

    def ask(self, text: str) -> bool:
        """Run one prompt; says why where it cannot be, and answers whether it was taken."""
        if not text.strip():
            self.notify("The prompt is empty: type something, or bring an example.", severity="warning")
        elif self.board.running:
            self.notify("A run is in flight: wait for it, or stop it with escape.", severity="warning")
        elif not self.board.columns:
            self.notify("No backend is chosen: open the setup first.", severity="warning")
        elif self.looking:
            self.notify("The new setup is still being read: try again in a moment.", severity="warning")
        else:
            self._asked += 1
            examples = {typed(each): each for each in (self.survey.examples if self.survey else ())}
            prompt = examples.get(text) or Prompt(id=f"typed-{self._asked}", prompt=text)
            self.label = prompt.label
            self.history.add(text)
            self.board.begin(prompt.id, text, race=self.choice.race)
            self.changed()
            self._stopped = False
            self._run(self.choice, prompt)
            return True
        return False

    @work(group="run", exit_on_error=False)
    async def _run(self, choice: Choice, prompt: Prompt) -> None:
        record: Record | None = None
        try:
            request = await asyncio.to_thread(self.desk.request, choice, prompt)
            self.board.image = request.images.get(prompt.id)
            cards = (card for name in request.variants for card in cards_of(name.backend, request.models))
            self.board.classes = next((card.classes for card in cards if card.classes), ())
            session = await asyncio.to_thread(lambda: self.session)
            if not self._stopped:
                record = await session.run(request, self.watch_session)
        except Exception as error:
            self.post_message(Wrong(error))
        finally:
            self.post_message(Over(record))
        if record is not None:
            await self._keep(record)

    async def _keep(self, record: Record) -> None:
        """Save the run; what fails here is said without standing in the way of the next prompt."""
        try:
            for problem in await asyncio.to_thread(self.desk.save, record):
                self.notify(problem, title="plugin", severity="warning", markup=False)
        except Exception as error:
            said = str(as_failure(error))
            self.notify(said, title="this run is not saved", severity="error", timeout=15, markup=False)

    @on(Over)
    def _over(self, message: Over) -> None:
        self.board.record = message.record or self.board.record
        self.board.end()
        self.changed()

    def cancel(self, variant: str) -> None:
        """Cancel one column's query, or have it not begin."""
        column = self.board.columns.get(variant)
        if column is None or not column.live:
            self.notify(f"{variant} has no query in flight.", severity="warning", markup=False)
        else:
            self.session.cancel(variant)

    def action_stop_run(self) -> None:
        if self.board.running:
            self.stop()
        else:
            self.notify(f"No run is in flight. {self.keys_of('app.quit')} quits.", markup=False)

    def stop(self) -> None:
        """End the run in flight, also one that has not begun to ask."""
        self._stopped = True
        if self._session is not None:
            self._session.interrupt()

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
