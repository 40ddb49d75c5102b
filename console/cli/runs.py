"""`unfed-console runs`: list, show and export stored runs."""

from __future__ import annotations

import click

from .output import emit, emit_bytes, print_json
from .terminal import table

LATEST = 20
"""Runs that a list shows."""


@click.group(short_help="List, show and export stored runs.", invoke_without_command=True)
@click.option("--json", "json", is_flag=True, help="Print JSON.")
@click.pass_context
def runs(ctx: click.Context, json: bool) -> int | None:
    """Stored runs. A run is named by its id, by the beginning of it, or by `last`.

    Without a command, the latest are listed.
    """
    if ctx.invoked_subcommand is None:
        return int(ctx.invoke(listing, limit=LATEST, everything=False, json=json))
    if json:
        raise click.UsageError(f"Give --json after {ctx.invoked_subcommand}.", ctx)
    return None


@runs.command("list", short_help="Stored runs, the latest first.")
@click.option(
    "--limit", type=click.IntRange(1), metavar="N", default=LATEST, show_default=True, help="How many at most."
)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("--json", "json", is_flag=True, help="Print JSON.")
def listing(limit: int, everything: bool, json: bool) -> int:
    """List stored runs, the latest first."""
    from ..results.store import Store

    store = Store()
    found = store.summaries(None if everything else limit)
    if json:
        print_json(found)
        return 0
    if not found:
        emit(f"No run is stored in {store.folder} yet; unfed-console compare makes one.")
        return 0
    rows = [
        [
            each.run_id,
            each.started[:19].replace("T", " "),
            each.status,
            each.profile or "–",
            each.model or "–",
            str(each.prompts),
            f"{each.ok}/{each.ok + each.failed}",
            ", ".join(each.variants),
        ]
        for each in found
    ]
    emit(table(["run", "started (UTC)", "status", "profile", "model", "prompts", "ok", "variants"], rows, right=(5, 6)))
    if more := store.count() - len(found):
        click.echo(f"and {more} more; --all or --limit N shows them", err=True)
    return 0


@runs.command("show", short_help="One run: answers, cost, guarantee.")
@click.argument("run", metavar="[RUN]", default="last")
@click.option("--check", is_flag=True, help="See whether the record is valid; exit 1 if it is not.")
@click.option("--json", "json", is_flag=True, help="Print the record as JSON.")
def show(run: str, check: bool, json: bool) -> int:
    """Show one run (the latest without RUN)."""
    from ..results.store import Store

    record = Store().load(run)
    faults: list[str] = []
    if check:
        from ..results.check import faults as find

        faults = find(record)
        for fault in faults:
            click.echo(f"invalid: {fault}", err=True)
        if not faults:
            click.echo(f"{record.run_id} is a valid {record.schema} record", err=True)
    if json:
        from ..results.record import to_json

        emit_bytes(to_json(record))
    elif not check:
        from .report import report

        emit(report(record))
    return 1 if faults else 0


@runs.command("export", short_help="Runs as JSON, CSV or Parquet.")
@click.argument("names", metavar="[RUN]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every stored run.")
@click.option(
    "--format", "kind", type=click.Choice(["json", "csv", "parquet"]), help="Default: by the ending of OUT, or json."
)
@click.option("--out", metavar="OUT", default="-", help="File to write; - is stdout, the default.")
@click.option("--columns", is_flag=True, help="Explain the columns of CSV and Parquet, and export nothing.")
def export(names: tuple[str, ...], everything: bool, kind: str | None, out: str, columns: bool) -> int:
    """Export runs (the latest without RUN): JSON whole, CSV and Parquet with one row a result.

    In CSV, text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    from typing import cast

    from ..results.export import COLUMNS, Format, format_of, write
    from ..results.files import check_output, write_output
    from ..results.store import Store

    if columns:
        emit(
            table(["column", "type", "meaning"], [[name, of.__name__, about] for name, (of, about) in COLUMNS.items()])
        )
        return 0
    if everything and names:
        raise click.UsageError("Name runs or give --all, not both.")
    check_output(out)
    chosen = cast(Format, kind) if kind else ("json" if out == "-" else format_of(out, ", or give --format"))
    store = Store()
    wanted = [each.run_id for each in store.summaries()] if everything else list(names) or ["last"]
    if not wanted:
        raise click.UsageError("No run is stored yet.")
    data = write([store.load(each) for each in dict.fromkeys(wanted)], chosen)
    if out == "-":
        emit_bytes(data)
    else:
        write_output(out, data)
        click.echo(f"wrote {out}", err=True)
    return 0
