"""`unfed-console backends`: what is installed, what is missing and how to install it, and the options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .output import emit, print_json
from .terminal import clean

if TYPE_CHECKING:
    from unfed.plugins import Backend
    from unfed.plugins.host import PluginHost


@click.command(short_help="What is installed, what is missing, and the options.")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--json", "json", is_flag=True, help="Print JSON.")
def backends(names: tuple[str, ...], json: bool) -> int:
    """Show the backends (or those named), what they need, and their options for --set."""
    from unfed.plugins.host import PluginHost

    host = PluginHost()
    found = {name: host.backend(name) for name in names} if names else host.backends()
    if not names:
        host.reward_schemes()  # plugins of other kinds may be broken too
    if json:
        broken = [] if names else list(host.unavailable.values())
        print_json({"backends": [_described(each) for each in found.values()], "unavailable": broken})
    else:
        emit(_listed(found, host, everything=not names))
    return 0


def _described(backend: type[Backend]) -> dict[str, Any]:
    options = backend.Options.model_json_schema().get("properties", {})
    return {
        "name": backend.name,
        "title": backend.title,
        "summary": backend.summary,
        "source": backend.source,
        "module": backend.__module__,
        "available": not backend.missing(),
        "missing": list(backend.missing()),
        "takes": list(backend.takes),
        "slots": dict(backend.slots),
        "options": [{"name": name, **about} for name, about in options.items()],
    }


def _listed(found: dict[str, type[Backend]], host: PluginHost, *, everything: bool) -> str:
    parts = [_told(backend) for backend in found.values()]
    if everything:
        for broken in host.unavailable.values():
            parts.append(
                f"{clean(broken.name)}  (plugin of {clean(broken.distribution)})\n"
                f"  cannot be used: {clean(broken.reason)}\n  to mend it: {clean(broken.hint)}"
            )
        if not found:
            parts.insert(0, "No backend is installed. To mend it: reinstall unfed-console")
    return "\n\n".join(parts)


def _told(backend: type[Backend]) -> str:
    lines = [f"{backend.name}  {clean(backend.title)}"]
    lines += [f"  {clean(backend.summary)}"] if backend.summary else []
    lines += [f"  source: {clean(backend.source)}"] if backend.source else []
    missing = backend.missing()
    lines += ["  installed"] if not missing else []
    for need in missing:
        lines.append(f"  missing: {need.module}; to install it: {need.install}")
    lines.append(f"  takes: {', '.join(backend.takes)}")
    for name, slot in backend.slots.items():
        more = "".join([", several" if slot.many else "", ", optional" if slot.optional else ""])
        lines.append(f"  model slot {name}{more}: {clean(slot.about)}")
    for name, about in backend.Options.model_json_schema().get("properties", {}).items():
        lines.append(
            f"  --set {backend.name}.{name}={_example(about)}  {clean(about.get('description', ''))}{_bounds(about)}"
        )
    return "\n".join(lines)


def _example(about: dict[str, Any]) -> str:
    import json

    default = about.get("default")
    return default if isinstance(default, str) else json.dumps(default)


def _bounds(about: dict[str, Any]) -> str:
    """What values an option takes, where its schema says."""
    if "enum" in about:
        return f" ({', '.join(map(str, about['enum']))})"
    low, high = about.get("minimum", about.get("exclusiveMinimum")), about.get("maximum", about.get("exclusiveMaximum"))
    if low is None and high is None:
        return ""
    return (
        f" ({low} to {high})" if None not in (low, high) else f" (from {low})" if high is None else f" (up to {high})"
    )
