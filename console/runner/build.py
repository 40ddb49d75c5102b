"""From a profile and flags (or a form) to a request in which every word has been checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from unfed.plugins import Backend, UnfedError
from unfed.plugins.host import PluginHost

from ..results.prompts import check_prompt, read_prompts, unique
from ..results.record import Prompt
from .images import check_prompts, named, read_images, takes_images
from .links import read_links
from .profile import Profile, check_run, find_profile
from .request import Request, Sampling
from .slots import Cards, fill_slots
from .sources import Say
from .variants import Variant, make_variants


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody asks for. None leaves it to the profile, and then to the default.

    Attributes:
        backends: names; empty means the profile's.
        sets: `backend.option=value`, as `--set` takes them.
        model: fills the slot `model`.
        prompts: texts, or where the models take images, files; they are called p1, p2, … and come after the file's.
        file: of prompts. Without texts and file, the profile's prompts are asked.
    """

    profile: str | None = None
    backends: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    model: str | None = None
    prompts: tuple[str, ...] = ()
    file: str | None = None
    max_new_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    links: str | None = None
    timeout: float | None = None
    parallel: int = 1
    race: bool = False
    audit: Path | None = None


async def build(
    wanted: Wanted, host: PluginHost, say: Say | None = None, *, asked: Sequence[Prompt] | None = None
) -> Request:
    """The request that `wanted` comes to. Models given by id are fetched where needed.

    Args:
        say: is told how a fetch goes on.
        asked: what is asked in place of the prompts that `wanted` names; nothing where only fleets are started.
    Raises:
        UnfedError: whatever cannot be used, with the nearest that could be.
    """
    profile = find_profile(wanted.profile) if wanted.profile else None
    flags = {
        key: getattr(wanted, key) for key in ("max_new_tokens", "temperature", "top_p", "seed", "links", "timeout")
    }
    given = {key: value for key, value in flags.items() if value is not None}
    run = check_run({**(profile.run.model_dump(exclude_unset=True) if profile else {}), **given}, "the run")
    if wanted.parallel < 1:
        raise UnfedError(f"{wanted.parallel} queries at once are none")
    links, emulation = read_links(run.links, profile.links if profile else None) if run.links else (None, None)
    backends = choose_backends(wanted.backends, profile, host)
    variants = make_variants(backends, wanted.sets, profile.backends if profile else None)
    prompts = gather_prompts(wanted, profile) if asked is None else tuple(asked)
    models = await fill_slots(backends, wanted.model, profile, host, say)
    check_plans(variants, models)
    if takes_images(backends, models):
        typed = len(prompts) - len(wanted.prompts) if asked is None else 0
        prompts = (*prompts[:typed], *map(named, prompts[typed:]))
    prompts, images, refused = read_images(prompts)
    check_prompts(prompts, images, refused, variants, models)
    return Request(
        variants=variants,
        models=models,
        prompts=prompts,
        images=images,
        refused=refused,
        sampling=Sampling(
            max_new_tokens=run.max_new_tokens, temperature=run.temperature, top_p=run.top_p, seed=run.seed
        ),
        profile=profile.name if profile else None,
        template=profile.template if profile else "{prompt}",
        links=links,
        timeout=run.timeout,
        concurrency=wanted.parallel,
        race=wanted.race,
        audit=wanted.audit,
        **({"emulation": emulation} if emulation else {}),
    )


def choose_backends(names: Sequence[str], profile: Profile | None, host: PluginHost) -> list[type[Backend]]:
    """The backends of these names, or the profile's.

    Raises:
        UnfedError: none is chosen, one is unknown, or one lacks what it needs (with the command that installs it).
    """
    chosen = list(names) or list(profile.backends if profile else ())
    if not chosen:
        known = ", ".join(host.backends())
        raise UnfedError(
            "no backend is chosen",
            hint=f"--profile demo chooses some; --backend takes {known or 'none: none is installed'}",
        )
    backends = [host.backend(name) for name in chosen]
    for backend in backends:
        if missing := backend.missing():
            raise UnfedError(
                f"backend {backend.name} needs {', '.join(need.module for need in missing)}, which is not installed",
                kind="unavailable",
                hint=" && ".join(dict.fromkeys(need.install for need in missing)),
            )
    return backends


def gather_prompts(wanted: Wanted, profile: Profile | None) -> tuple[Prompt, ...]:
    """The file's prompts and then those given one by one; the profile's where there is neither.

    Raises:
        UnfedError: there is none, or one cannot be asked.
    """
    if not wanted.file and not wanted.prompts:
        if profile is None or profile.prompts is None:
            raise UnfedError("there is no prompt", hint="give --prompt TEXT or --prompts FILE")
        return read_prompts(profile.prompts)
    gathered = list(read_prompts(wanted.file)) if wanted.file else []
    taken = {prompt.id for prompt in gathered}
    for number, text in enumerate(wanted.prompts, start=1):
        identifier = next(
            each for each in (f"p{number}", f"prompt-{number}", f"--prompt {number}") if each not in taken
        )
        gathered.append(check_prompt(Prompt(id=identifier, prompt=text), f"prompt {number}"))
    return unique(gathered)


def check_plans(variants: Sequence[Variant], models: Cards) -> None:
    """See that at least one variant can be planned; what fails for some only is their results' matter.

    Raises:
        UnfedError: none can, for the reason of the first.
    """
    reasons: list[UnfedError] = []
    for variant in variants:
        try:
            variant.backend().plan_for(models, variant.options).check()
        except UnfedError as error:
            reasons.append(error)
        except Exception as error:  # a third party's plan may raise anything at all
            message = f"backend {variant.backend.name} cannot make a plan: {type(error).__name__}: {error}"
            reasons.append(UnfedError(message, kind="internal"))
    if reasons and len(reasons) == len(variants):
        raise reasons[0]
