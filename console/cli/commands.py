"""The commands of `unfed-console`."""

from __future__ import annotations

import sys

import click

from .. import __version__
from .lazy import LazyGroup

HERE = "unfed.console.cli"

COMMANDS = {
    "compare": (f"{HERE}.compare:compare", "Run prompts through backends, side by side."),
    "backends": (f"{HERE}.backends:backends", "What is installed, what is missing, and the options."),
    "profiles": (f"{HERE}.profiles:profiles", "List and show profiles."),
    "fleet": (f"{HERE}.fleet:fleet", "Keep a fleet running for later runs."),
    "runs": (f"{HERE}.runs:runs", "List, show and export stored runs."),
    "verify": (f"{HERE}.verify:verify", "See for yourself what a proof says of a party."),
    "doctor": (f"{HERE}.doctor:doctor", "See whether this computer has what is needed."),
}


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 all is well, 1 some result failed, 2 usage or bad input, 3 no fleet could start, "
    "130 interrupted.",
)
@click.option("--profile", metavar="NAME_OR_FILE", help="Profile that the console opens with.")
@click.version_option(__version__, prog_name="unfed-console")
@click.pass_context
def console(ctx: click.Context, profile: str | None) -> int | None:
    """Run the same prompts through techniques of private inference, side by side, on real distrusting processes.

    Without a command, the console opens.
    """
    if ctx.invoked_subcommand is not None:
        if profile is not None:
            raise click.UsageError(f"Give --profile after {ctx.invoked_subcommand}.", ctx)
        return None
    if not (sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()):
        raise click.UsageError("The console needs a terminal; see compare for runs without one.", ctx)
    import signal

    from ..app import run_app

    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the app puts the terminal back itself
    return run_app(profile)
