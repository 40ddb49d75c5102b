"""The app's ground floor: what is shown, what the session says, what can be run and what is chosen."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
from textual import on, work
from textual.app import App
from textual.worker import get_current_worker

from unfed.plugins import UnfedError

from ..runner.notices import Notice
from .board import Board
from .desk import Choice, Desk, SessionLike
from .history import History
from .messages import Heard, Surveyed, Wrong
from .survey import Survey, survey


class Choosing(App[int], inherit_bindings=False):
    """State that screens draw; `Running` adds the work, `UnfedApp` what is seen."""

    def __init__(self, desk: Desk, *, profile: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.desk, self.clock = desk, clock
        self.board, self.history = Board(), History()
        self.survey: Survey | None = None
        self.choice = Choice(profile=profile)
        self.version = 0
        self.label: str | None = None
        self._session: SessionLike | None = None
        self.looking = False

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
        """Ask the session for its parties and their news; answers whether something is different."""
        session = self._session
        return session is not None and self.board.sync(session.parties(), session.news())

    # what can be run, and what is chosen

    @work(thread=True, exclusive=True, group="survey", exit_on_error=False)
    def look(self, choice: Choice | None = None, profile: str | None = None) -> None:
        """Survey `choice`, or what `profile` asks for."""
        worker, fresh = get_current_worker(), choice is None
        try:
            choice = choice or self.desk.choice(profile)
        except Exception as error:
            self.post_message(Wrong(error))
            choice = Choice()  # with nothing chosen the setup can still be opened
        found = survey(self.desk, choice)
        if not worker.is_cancelled:  # else a later look has begun
            self.post_message(Surveyed(found, fresh=fresh))

    @on(Surveyed)
    def _surveyed(self, message: Surveyed) -> None:
        self.survey, self.looking = message.survey, False
        if message.fresh:
            self.choice = message.survey.choice
        self.board.show(message.survey.columns)
        if message.survey.problem is not None:
            self.post_message(Wrong(UnfedError.of(message.survey.problem)))
        self.changed()
        self.after_survey()

    def after_survey(self) -> None:
        """It is known what can be run."""

    def choose(self, choice: Choice) -> None:
        """Take a new choice; the next run is made from it."""
        if self.board.running:
            self.notify("The setup changes between runs, not within one.", severity="warning")
            return
        self.choice, self.looking = choice, True
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
