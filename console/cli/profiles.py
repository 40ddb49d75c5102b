"""`unfed-console profiles`: list and show profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .output import emit, print_json
from .terminal import clean, table

if TYPE_CHECKING:
    from ..runner.profile import Profile


@click.group(short_help="List and show profiles.", invoke_without_command=True)
@click.option("--json", "json", is_flag=True, help="Print JSON.")
@click.pass_context
def profiles(ctx: click.Context, json: bool) -> int | None:
    """Profiles name models, backends, options and links. Your own lie as TOML files in the config folder.

    Without a command, they are listed.
    """
    if ctx.invoked_subcommand is None:
        return int(ctx.invoke(listing, json=json))
    if json:
        raise click.UsageError(f"Give --json after {ctx.invoked_subcommand}.", ctx)
    return None


@profiles.command("list", short_help="Built-in profiles and your own.")
@click.option("--json", "json", is_flag=True, help="Print JSON.")
def listing(json: bool) -> int:
    """List built-in profiles and your own."""
    from ..results.paths import config_folder
    from ..runner.profile import BrokenProfile
    from ..runner.profile import profiles as find

    found = find()
    if json:
        print_json([_broken(each) if isinstance(each, BrokenProfile) else _described(each) for each in found])
        return 0
    rows = []
    for each in found:
        if isinstance(each, BrokenProfile):
            rows.append([each.name, "broken", "", each.reason])
        else:
            rows.append([each.name, each.origin, ", ".join(each.backends), each.title])
    emit(table(["name", "origin", "backends", "title"], rows))
    emit(f"\nYour own lie in {config_folder() / 'profiles'}; a path that ends in .toml works as well.")
    return 0


@profiles.command("show", short_help="What a profile says.")
@click.argument("name", metavar="NAME_OR_FILE")
@click.option("--json", "json", is_flag=True, help="Print JSON.")
def show(name: str, json: bool) -> int:
    """Show what a profile says, its paths made whole."""
    from ..runner.profile import find_profile

    profile = find_profile(name)
    described = _described(profile)
    if json:
        print_json(described)
        return 0
    for key, value in described.items():
        if isinstance(value, dict):
            emit(f"{key}:")
            for inner, told in value.items():
                emit(f"  {clean(str(inner))}: {clean(_plain(told))}")
        else:
            emit(f"{key}: {clean(_plain(value))}")
    return 0


def _described(profile: Profile) -> dict[str, Any]:
    return {
        "name": profile.name,
        "origin": profile.origin,
        "path": str(profile.path),
        "title": profile.title,
        "description": profile.description,
        "template": profile.template,
        "prompts": str(profile.prompts) if profile.prompts else None,
        "models": dict(profile.models),
        "run": profile.run.model_dump(mode="json"),
        "backends": {name: dict(options) for name, options in profile.backends.items()},
        "links": {
            name: {"delay_seconds": each.delay, "bytes_per_second": each.bandwidth}
            for name, each in profile.links.items()
        },
    }


def _broken(profile: Any) -> dict[str, Any]:
    return {"name": profile.name, "path": str(profile.path), "broken": profile.reason}


def _plain(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, dict):
        return ", ".join(f"{key} = {each}" for key, each in value.items()) or "defaults"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
