"""`unfed-console fleet`: keep a fleet running for later runs."""

from __future__ import annotations

from typing import Any

import click


@click.group(short_help="Keep a fleet running for later runs.", invoke_without_command=True)
@click.option("--json", "json", is_flag=True, help="Print JSON.")
@click.pass_context
def fleet(ctx: click.Context, json: bool) -> int | None:
    """A fleet that outlives one run: start it in one terminal, use it from others with `compare --fleet NAME`.

    Without a command, those that run are shown.
    """
    if ctx.invoked_subcommand is None:
        return int(ctx.invoke(status, name=None, json=json))
    if json:
        raise click.UsageError(f"Give --json after {ctx.invoked_subcommand}.", ctx)
    return None


@fleet.command("start", short_help="Start a fleet and keep it up until Ctrl-C.")
@click.argument("name", default="default")
@click.option("--profile", metavar="NAME_OR_FILE", help="Models, backends, options and links.")
@click.option(
    "--backend", "backends", metavar="NAME", multiple=True, help="A technique; repeatable. Default: the profile's."
)
@click.option("--model", metavar="FOLDER_OR_ID", help="A Hugging Face model; fills the slot `model`.")
@click.option(
    "--set", "sets", metavar="BACKEND.OPTION=VALUE", multiple=True, help="Set an option; repeatable, as in compare."
)
@click.option("--links", metavar="lan|metro|wan", help="Emulate links between parties; or numbers such as 10ms,50mbit.")
@click.option("--audit", is_flag=True, help="Record what every party receives and holds.")
@click.option("--json", "json", is_flag=True, help="Print the fleet as JSON once it is ready.")
def start(name: str, json: bool, **flags: Any) -> int:
    """Start the fleet NAME (`default` without one) and keep it up until Ctrl-C or `fleet stop`.

    Exit codes: 0 stopped, 2 usage, 3 no fleet could start, 130 interrupted before it was ready.
    """
    from .fleets import start as run

    return run(name, json=json, **flags)


@fleet.command("status", short_help="Fleets that run, and their parties.")
@click.argument("name", required=False)
@click.option("--json", "json", is_flag=True, help="Print JSON.")
def status(name: str | None, json: bool) -> int:
    """Show the fleet NAME, or all that run."""
    from .fleets import status as run

    return run(name, json=json)


@fleet.command("stop", short_help="Stop a fleet.")
@click.argument("name", default="default")
def stop(name: str) -> int:
    """Stop the fleet NAME (`default` without one) and wait until it has ended."""
    from .fleets import stop as run

    return run(name)
