"""The plugin host: nothing is imported before it is chosen, and one broken plugin breaks nothing else.

Every hook is exercised here under its own name, which a test below insists on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from unfed.plugins import Attack, Backend, Launcher, ModelSource, RewardScheme, UnfedError, hookimpl, hookspecs
from unfed.plugins.host import PluginHost

ROOT = Path(__file__).parents[2]
HOOKS = [name for name in vars(hookspecs) if name.startswith("unfed_")]

BACKEND = """
from unfed.plugins import Backend, hookimpl

class {name}(Backend):
    name, title = "{name}", "A backend"
    def plan(self, models, options): ...

@hookimpl
def unfed_backends():
    return [{name}]
"""


class Plugins:
    """Modules written for a test, and entry points that name them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.points: list[EntryPoint] = []
        self.modules: list[str] = []

    def add(self, name: str, source: str) -> None:
        module = f"unfed_test_plugin_{name.replace('-', '_')}"
        (self._folder / f"{module}.py").write_text(source)
        self.points.append(EntryPoint(name, module, hookspecs.GROUP))
        self.modules.append(module)

    def imported(self) -> list[str]:
        return [module.removeprefix("unfed_test_plugin_") for module in self.modules if module in sys.modules]

    def host(self) -> PluginHost:
        return PluginHost(self.points)


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugins]:
    monkeypatch.syspath_prepend(str(tmp_path))
    made = Plugins(tmp_path)
    yield made
    for module in made.modules:
        sys.modules.pop(module, None)


def test_names_are_known_without_an_import(plugins: Plugins) -> None:
    plugins.add("b", BACKEND.format(name="b"))
    plugins.add("a", "raise RuntimeError('never imported')")
    assert plugins.host().names() == ("a", "b") and plugins.imported() == []


def test_choosing_a_backend_imports_its_plugin_alone(plugins: Plugins) -> None:
    for name in ("one", "two"):
        plugins.add(name, BACKEND.format(name=name))
    assert plugins.host().backend("two").name == "two"
    assert plugins.imported() == ["two"]


def test_a_backend_of_another_name_than_its_plugin_is_found(plugins: Plugins) -> None:
    plugins.add("pack", BACKEND.format(name="inner"))
    assert plugins.host().backend("inner").name == "inner"


def test_an_unknown_backend_is_refused_with_the_nearest(plugins: Plugins) -> None:
    plugins.add("split", BACKEND.format(name="split"))
    with pytest.raises(UnfedError, match=r"no backend 'splitt' \(did you mean 'split'\?\)"):
        plugins.host().backend("splitt")


@pytest.mark.parametrize(
    ("source", "reason", "hint"),
    [
        ("import no_such_library", "No module named 'no_such_library'", "pip install no_such_library"),
        ("1/0", "ZeroDivisionError", "reinstall or remove"),
        ("def broken(:", "SyntaxError", "reinstall or remove"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_set_aside(plugins: Plugins, source: str, reason: str, hint: str) -> None:
    plugins.add("bad", source)
    plugins.add("good", BACKEND.format(name="good"))
    host = plugins.host()
    assert list(host.backends()) == ["good"]
    assert reason in host.unavailable["bad"].reason and hint in host.unavailable["bad"].hint
    with pytest.raises(UnfedError, match="'bad' cannot be imported") as caught:
        host.backend("bad")
    assert caught.value.failure.kind == "unavailable" and hint in str(caught.value.failure.hint)


@pytest.mark.parametrize("offer", ["return [int]", "return ['good']", "return None", "raise KeyError('x')", "return 3"])
def test_a_plugin_that_offers_nonsense_is_set_aside(plugins: Plugins, offer: str) -> None:
    plugins.add("bad", f"def unfed_backends():\n    {offer}")
    plugins.add("good", BACKEND.format(name="good"))
    host = plugins.host()
    assert list(host.backends()) == ["good"] and "bad" in host.unavailable


def test_a_plugin_is_not_tried_twice(plugins: Plugins) -> None:
    plugins.add("bad", "import sys\nsys.tries = getattr(sys, 'tries', 0) + 1\n1/0")
    host = plugins.host()
    host.backends(), host.backends(), host.reward_schemes()
    assert sys.__dict__.pop("tries") == 1


def test_what_is_built_in_is_registered_as_a_strangers_would_be() -> None:
    host = PluginHost()
    assert {"plain", "split"} <= set(host.backends()) and {"equal", "work"} <= set(host.reward_schemes())
    assert not host.unavailable


# -- every hook


def plugin(hook: str, offer: Callable[..., Any]) -> ModuleType:
    module = ModuleType("a_plugin")
    setattr(module, hook, hookimpl(offer))
    return module


OFFERS: dict[str, tuple[type, str]] = {
    # hook: what it offers, and the host's word for it
    "unfed_backends": (Backend, "backends"),
    "unfed_attacks": (Attack, "attacks"),
    "unfed_reward_schemes": (RewardScheme, "reward_schemes"),
    "unfed_launchers": (Launcher, "launchers"),
    "unfed_model_sources": (ModelSource, "model_sources"),
}


@pytest.mark.parametrize("hook", OFFERS)
def test_what_a_hook_offers_is_found_by_name(hook: str) -> None:
    kind, word = OFFERS[hook]
    mine = type("Mine", (kind,), {"name": "mine", "title": "Mine"})
    host = PluginHost([])
    host.register(plugin(hook, lambda: [mine]), "plugin")
    host.register(plugin(hook, lambda: 1 / 0), "another")
    assert getattr(host, word)() == {"mine": mine}
    assert "ZeroDivisionError" in host.unavailable["another"].reason


def test_unfed_run_finished_is_told_the_record_and_cannot_spoil_it() -> None:
    heard: list[Any] = []
    host = PluginHost([])
    host.register(plugin("unfed_run_finished", lambda record: 1 / 0), "clumsy")
    host.register(plugin("unfed_run_finished", lambda record: heard.append(record)), "listener")
    problems = host.run_finished({"run_id": "r"})
    assert heard == [{"run_id": "r"}] and len(problems) == 1 and "clumsy: ZeroDivisionError" in problems[0]


def test_there_are_at_most_six_hooks_and_each_is_tested_and_documented() -> None:
    assert set(HOOKS) == {*OFFERS, "unfed_run_finished"} and len(HOOKS) <= 6
    guide = (ROOT / "docs" / "write-a-backend.md").read_text()
    for hook in HOOKS:
        assert getattr(hookspecs, hook).__doc__, hook
        assert f"`{hook}`" in guide, hook
