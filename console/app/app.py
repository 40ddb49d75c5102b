"""The app: pages over one session, keys that can be remapped, themes that are remembered."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
from textual import on, work
from textual.keys import format_key

from .actions import IDS, bindings
from .desk import Choice, Desk
from .keymap import FILE, read_keymap
from .messages import Wrong
from .palette import Actions
from .running import Running
from .screens.compare import CompareScreen
from .screens.confirm import Confirm
from .screens.explain import Explain, help_of, keys_here
from .screens.fleet import FleetScreen
from .screens.gallery import GalleryScreen
from .screens.page import Page
from .screens.plugins import PluginsScreen
from .screens.runs import RunsScreen
from .screens.setup import SetupScreen
from .screens.trouble import Trouble
from .settings import Settings, read_settings, write_settings
from .themes import DEFAULT, UNFED

CLOSING = 15.0
"""Seconds that parties have to end when one quits."""
HUNG_UP = 5.0
"""Seconds to end, or to put the terminal back, before the process ends regardless."""


class UnfedApp(Running, inherit_bindings=False):
    """The console.

    Args:
        desk: everything outside the screens.
        profile: to start with.
        clock: seconds; tests stop it.
    """

    TITLE = "unfed-console"
    CSS_PATH: ClassVar[Any] = ["app.tcss", "gallery.tcss", "compare.tcss", "fleet.tcss", "dialogs.tcss"]
    BINDINGS = bindings("app")
    COMMANDS: ClassVar[Any] = {Actions}
    MODES: ClassVar[Any] = {
        screen.mode: screen for screen in (GalleryScreen, CompareScreen, FleetScreen, RunsScreen, PluginsScreen)
    }

    def __init__(self, desk: Desk, *, profile: str | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(desk, profile=profile, clock=clock)
        self._profile = profile
        self._state, self._config = desk.folders()
        self.settings: Settings = read_settings(self._state)
        self._user_keys: dict[str, str] = {}
        self._left = False

    # start

    async def on_mount(self) -> None:
        self.register_theme(UNFED)
        self.theme = self.settings.theme if self.settings.theme in self.available_themes else DEFAULT
        self.theme_changed_signal.subscribe(self, lambda theme: self._remember(theme=theme.name))
        self._user_keys, problems = read_keymap(self._config / FILE)
        self.set_keymap(self._user_keys)
        await self.switch_mode("compare" if self.settings.welcomed else "gallery")
        self._obey_signals()
        for line in problems:
            self.notify(line, title="keymap", severity="warning", timeout=15, markup=False)
        self.look(profile=self._profile)
        self.warm()

    def _remember(self, **what: Any) -> None:
        fresh = msgspec.structs.replace(self.settings, **what)
        if fresh != self.settings:
            self.settings = fresh
            write_settings(self._state, fresh)

    def ask(self, text: str) -> bool:
        taken = super().ask(text)
        if taken:
            self._remember(welcomed=True)
        return taken

    # where one is

    @property
    def page(self) -> Page | None:
        """The main screen under whatever dialogs are open."""
        return next((screen for screen in self.screen_stack if isinstance(screen, Page)), None)

    async def action_go(self, mode: str) -> None:
        await self.go(mode)

    async def go(self, mode: str) -> None:
        """Show a main screen."""
        if mode != self.current_mode and not self.screen.is_modal:
            await self.switch_mode(mode)

    # keys and help

    def keys_of(self, name: str) -> str:
        """The first key of an action as it is now, the way the footer writes it."""
        key = self._user_keys.get(name, IDS[name].keys).split(",")[0]
        *modifiers, last = key.split("+")
        sign = "^" if "ctrl" in modifiers else ""
        rest = "+".join(modifier for modifier in modifiers if modifier != "ctrl")
        name = format_key(last)
        return (
            f"{rest}+{sign}{name}"
            if rest
            else f"{sign}{name.upper() if len(name) > 1 and name[1:].isdigit() else name}"
        )

    def tab_keys(self) -> dict[str, str]:
        """Keys of the main screens, for the top bar."""
        return {mode: self.keys_of(f"app.{mode}") for mode in self.MODES}

    def action_explain(self) -> None:
        screen = self.screen
        if not isinstance(screen, Explain):
            where = str(self._config / FILE)
            self.push_screen(Explain(help_of(screen.focused), keys_here(screen), where))

    # dialogs

    @on(Wrong)
    def _wrong(self, message: Wrong) -> None:
        if not self._left:
            self.push_screen(Trouble(message.error, message.details))

    def trouble(self, error: BaseException) -> None:
        """Show an error that no column shows."""
        self.post_message(Wrong(error))

    def open_setup(self) -> None:
        """The form; what it answers is taken."""
        if self.board.running:
            self.notify("The setup changes between runs, not within one.", severity="warning")
        elif self.survey is not None:
            now = msgspec.structs.replace(self.survey, choice=self.choice)  # the mode may have changed since the survey
            self.push_screen(SetupScreen(self.desk, now), self._take)

    def _take(self, choice: Choice | None) -> None:
        if choice is not None:
            self.choose(choice)

    # the end

    def _obey_signals(self) -> None:
        """A console that is told to end puts the terminal back and stops its parties first.

        It ends even where that is not possible: once the terminal is gone, whoever writes to it may wait for ever, and
        the event loop with it.
        """
        if self.is_headless:
            return
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()

        def told(number: int, frame: object) -> None:
            late = threading.Timer(HUNG_UP if number == signal.SIGHUP else CLOSING + HUNG_UP, os._exit, (128 + number,))
            late.daemon = True
            late.start()
            loop.call_soon_threadsafe(self._end, 128 + number, context=context)

        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, told)

    @work(group="leave", exclusive=True, exit_on_error=False)
    async def _end(self, code: int) -> None:
        await self._leave()
        self.exit(return_code=code)

    @work(group="leave", exclusive=True, exit_on_error=False)
    async def action_leave(self) -> None:
        if self.board.running:
            sure = await self.push_screen_wait(
                Confirm(
                    "Quit while a run is in flight?",
                    "The run ends here and is not finished; every party is stopped.",
                    yes="Quit",
                )
            )
            if not sure:
                return
            self.stop()
        if self._session is not None and self.board.parties:
            self.notify("Stopping every party…", timeout=CLOSING)
        await self._leave()
        self.exit(0)

    async def _leave(self) -> None:
        """End every party, once. What does not end in time ends with this process, whose pipe all parties watch."""
        if not self._left:
            self._left = True
            if self._session is not None:
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(self._session.close(), CLOSING)

    async def on_unmount(self) -> None:
        await self._leave()
