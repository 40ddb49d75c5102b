"""The desk of a real console: plugins, profiles and the store of this computer. Imported after the first paint."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from unfed.plugins import Backend, UnfedError
from unfed.plugins.host import PluginHost, Unavailable

from ..results.paths import config_folder, run_folder, state_folder
from ..results.record import Prompt, Record
from ..runner.request import Request, Sampling
from .desk import Choice, SessionLike

if TYPE_CHECKING:
    from ..results.tables import Summary
    from ..runner.profile import Profile
    from ..runner.session import Session

SHIPPED = "demo"
"""The profile that a console opens with when none is named."""


class LocalDesk:
    """Its methods import what they need when they are called: most of it is not needed for the first paint."""

    def __init__(self) -> None:
        self.host = PluginHost()
        self._session: Session | None = None
        self._views: Path | None = None

    def session(self) -> SessionLike:
        from ..runner.session import Session

        if self._session is None:
            try:
                logs = run_folder("logs")
            except UnfedError:  # runs go on where the state folder cannot be written; saving says so
                logs = Path(tempfile.mkdtemp(prefix="unfed-logs-"))
            self._session = Session(self.host, logs=logs)
        return self._session

    # profiles and plugins

    def profiles(self) -> Sequence[str]:
        from ..runner.profile import Profile, profiles

        return [profile.name for profile in profiles() if isinstance(profile, Profile)]

    def choice(self, profile: str | None) -> Choice:
        found = self._profile(profile or SHIPPED)
        run = found.run
        return Choice(
            profile=profile or SHIPPED,
            backends=tuple(found.backends),
            sampling=Sampling(
                max_new_tokens=run.max_new_tokens, temperature=run.temperature, top_p=run.top_p, seed=run.seed
            ),
            links=run.links or "none",
            timeout=run.timeout,
        )

    def defaults(self, profile: str | None) -> Mapping[str, Mapping[str, Any]]:
        return self._profile(profile).backends if profile else {}

    def link_profiles(self, profile: str | None) -> Sequence[str]:
        from ..runner.links import LINKS

        return list(dict.fromkeys([*LINKS, *(self._profile(profile).links if profile else ())]))

    def backends(self) -> Mapping[str, type[Backend]]:
        return self.host.backends()

    def unavailable(self) -> Sequence[Unavailable]:
        return list(self.host.unavailable.values())

    def plugins(self) -> Sequence[tuple[str, str, str]]:
        offered: dict[str, Mapping[str, Any]] = {
            "backends": self.host.backends(),
            "reward schemes": self.host.reward_schemes(),
            "attacks": self.host.attacks(),
            "launchers": self.host.launchers(),
            "model sources": self.host.model_sources(),
        }
        return [
            (kind, name, getattr(thing, "title", "") or (thing.__doc__ or "").partition("\n")[0])
            for kind, things in offered.items()
            for name, thing in things.items()
        ]

    def _profile(self, name: str) -> Profile:
        from ..runner.profile import find_profile

        return find_profile(name)

    # requests

    def request(self, choice: Choice, prompt: Prompt | None) -> Request:
        from ..results.prompts import check_prompt
        from ..runner.build import Wanted, build

        if not choice.backends:
            raise UnfedError("no backend is chosen")
        asked = (check_prompt(prompt, "the prompt"),) if prompt is not None else ()
        sampling = choice.sampling
        wanted = Wanted(
            profile=choice.profile,
            backends=choice.backends,
            sets=tuple(
                f"{name}.{option}={text}"
                for name, options in choice.options.items()
                if name in choice.backends
                for option, text in options.items()
            ),
            max_new_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=sampling.seed,
            links=choice.links,
            timeout=choice.timeout,
            race=choice.race,
            audit=self._audit() if choice.audit and prompt is not None else None,
        )
        return asyncio.run(build(wanted, self.host, asked=asked))  # called from a worker's thread, which has no loop

    def _audit(self) -> Path:
        """One folder of views for this console, so that fleets are kept from prompt to prompt."""
        if self._views is None:
            self._views = run_folder("views")
        return self._views

    def examples(self, choice: Choice) -> Sequence[Prompt]:
        from ..results.prompts import read_prompts

        found = self._profile(choice.profile) if choice.profile else None
        if found is None or found.prompts is None:
            return []
        return tour(read_prompts(found.prompts))

    # the store

    def save(self, record: Record) -> Sequence[str]:
        from ..results.record import to_json
        from ..results.store import Store

        try:
            Store().save(record)
        finally:
            problems = self.host.run_finished(msgspec.json.decode(to_json(record)))
        return problems

    def runs(self) -> Sequence[Summary]:
        from ..results.store import Store

        return Store().summaries(limit=1000)

    def record(self, run_id: str) -> Record:
        from ..results.store import Store

        return Store().load(run_id)

    def export(self, run_id: str, kind: Literal["json", "csv"], path: Path) -> None:
        from ..results.export import write
        from ..results.files import write_output

        if path.exists():
            raise UnfedError(f"{path} is there already", hint="move it away to export again")
        write_output(str(path), write([self.record(run_id)], kind))

    def folders(self) -> tuple[Path, Path]:
        return state_folder(), config_folder()


def tour(prompts: Sequence[Prompt]) -> list[Prompt]:
    """Every prompt once, those of one label far apart: one of each label, then the next of each."""
    by_label: dict[str | None, list[Prompt]] = {}
    for prompt in prompts:
        by_label.setdefault(prompt.label, []).append(prompt)
    most = max(map(len, by_label.values()), default=0)
    return [group[turn] for turn in range(most) for group in by_label.values() if turn < len(group)]
