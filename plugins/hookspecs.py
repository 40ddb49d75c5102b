"""The hooks: five that offer something, one that is told something.

A plugin is a module, named by an entry point of the group `unfed`, with functions of these names marked `@hookimpl`.
Name the entry point after the backend where it brings one: then choosing that backend imports this plugin alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from .attack import Attack
    from .backend import Backend
    from .launch import Launcher, ModelSource
    from .reward import RewardScheme

GROUP = "unfed"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def unfed_backends() -> Iterable[type[Backend]]:  # type: ignore[empty-body]
    """Backends that this plugin brings."""


@hookspec
def unfed_attacks() -> Iterable[type[Attack]]:  # type: ignore[empty-body]
    """Attacks on recorded views."""


@hookspec
def unfed_reward_schemes() -> Iterable[type[RewardScheme]]:  # type: ignore[empty-body]
    """Ways to split a reward."""


@hookspec
def unfed_launchers() -> Iterable[type[Launcher]]:  # type: ignore[empty-body]
    """Ways to start a party's process."""


@hookspec
def unfed_model_sources() -> Iterable[type[ModelSource]]:  # type: ignore[empty-body]
    """Places that models come from, besides folders."""


@hookspec
def unfed_run_finished(record: dict[str, Any]) -> None:
    """A run ended; `record` is what was stored. An error raised here is reported and changes nothing."""
