"""Finds plugins by entry-point name and imports only what is chosen; one broken plugin never breaks the rest."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, TypeVar

import msgspec
import pluggy

from . import hookspecs
from .attack import Attack
from .backend import Backend
from .errors import UnfedError
from .launch import Launcher, ModelSource
from .options import nearest
from .reward import RewardScheme

Thing = TypeVar("Thing")


class Unavailable(msgspec.Struct, frozen=True):
    """A plugin that could not be imported, and why."""

    name: str
    distribution: str
    reason: str
    hint: str


class PluginHost:
    """The plugins of this installation.

    Args:
        points: entry points to use instead of the installed ones (for tests).
    """

    def __init__(self, points: list[EntryPoint] | None = None) -> None:
        found = list(entry_points(group=hookspecs.GROUP)) if points is None else points
        self._points = {point.name: point for point in sorted(found, key=lambda point: point.name)}
        self._manager = pluggy.PluginManager(hookspecs.GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._tried: set[str] = set()
        self.unavailable: dict[str, Unavailable] = {}

    def names(self) -> tuple[str, ...]:
        """Names of the installed plugins; nothing is imported."""
        return tuple(self._points)

    def register(self, module: ModuleType | object, name: str) -> None:
        """Add a plugin that is not installed."""
        self._manager.register(module, name=name)

    def backend(self, name: str) -> type[Backend]:
        """The backend called `name`, importing as little as possible.

        Raises:
            UnfedError: no such backend (the nearest is suggested), or its plugin cannot be imported.
        """
        if name in self._points:
            self._load(name)
        if (found := self._backends().get(name)) is None:
            if name in self.unavailable:
                broken = self.unavailable[name]
                raise UnfedError(
                    f"backend {name!r} cannot be imported: {broken.reason}", kind="unavailable", hint=broken.hint
                )
            found = self.backends().get(name)
        if found is None:
            raise UnfedError(f"there is no backend {name!r}", hint=nearest(name, self._backends()))
        return found

    def backends(self) -> dict[str, type[Backend]]:
        """Every backend that can be imported, by name."""
        self._load_all()
        return self._backends()

    def reward_schemes(self) -> dict[str, type[RewardScheme]]:
        return self._named("unfed_reward_schemes", RewardScheme)  # type: ignore[type-abstract]

    def attacks(self) -> dict[str, type[Attack]]:
        return self._named("unfed_attacks", Attack)  # type: ignore[type-abstract]

    def launchers(self) -> dict[str, type[Launcher]]:
        return self._named("unfed_launchers", Launcher)  # type: ignore[type-abstract]

    def model_sources(self) -> dict[str, type[ModelSource]]:
        return self._named("unfed_model_sources", ModelSource)  # type: ignore[type-abstract]

    def run_finished(self, record: dict[str, Any]) -> list[str]:
        """Tell every plugin; returns what went wrong, a line each."""
        problems = []
        for plugin in self._plugins():
            if (hook := getattr(plugin, "unfed_run_finished", None)) is not None:
                try:
                    hook(record)
                except Exception as error:
                    problems.append(f"plugin {self._manager.get_name(plugin)}: {type(error).__name__}: {error}")
        return problems

    def _plugins(self) -> Iterator[Any]:
        return iter(self._manager.get_plugins())

    def _backends(self) -> dict[str, type[Backend]]:
        return self._offered("unfed_backends", Backend)  # type: ignore[type-abstract]

    def _named(self, hook: str, kind: type[Thing]) -> dict[str, type[Thing]]:
        self._load_all()
        return self._offered(hook, kind)

    def _offered(self, hook: str, kind: type[Thing]) -> dict[str, type[Thing]]:
        """What loaded plugins offer. Plugins are asked one by one, so that one that raises is set aside alone."""
        things: dict[str, type[Thing]] = {}
        for plugin in sorted(self._plugins(), key=lambda each: self._manager.get_name(each) or ""):
            offer = getattr(plugin, hook, None)
            if offer is None:
                continue
            try:
                for thing in offer():
                    if not (isinstance(thing, type) and issubclass(thing, kind)):
                        raise TypeError(f"{hook} returned {thing!r}, which is no {kind.__name__}")
                    things.setdefault(thing.name, thing)  # type: ignore[attr-defined]
            except Exception as error:
                self._set_aside(self._manager.get_name(plugin) or "?", error)
        return things

    def _load_all(self) -> None:
        for name in self._points:
            self._load(name)

    def _load(self, name: str) -> None:
        if name in self._tried:
            return
        self._tried.add(name)
        try:
            self._manager.register(self._points[name].load(), name=name)
        except Exception as error:  # a plugin's import may raise anything at all
            self._set_aside(name, error)

    def _set_aside(self, name: str, error: Exception) -> None:
        point = self._points.get(name)
        distribution = point.dist.name if point is not None and point.dist is not None else "this session"
        missing = error.name if isinstance(error, ModuleNotFoundError) and error.name else None
        ours = missing is None or missing.partition(".")[0] == "unfed"
        hint = f"reinstall or remove {distribution}" if ours else f"pip install {missing}"
        self.unavailable[name] = Unavailable(name, distribution, f"{type(error).__name__}: {error}", hint)
