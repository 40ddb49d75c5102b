"""`unfed-console doctor`: whether this computer has what is needed."""

from __future__ import annotations

import click

from .output import emit, print_json
from .terminal import clean, table


@click.command(short_help="See whether this computer has what is needed.")
@click.option("--json", "json", is_flag=True, help="Print JSON.")
def doctor(json: bool) -> int:
    """Check what runs depend on. Exit 1 if something that every run needs is missing."""
    from .examine import examine

    findings = examine()
    failed = any(finding.state == "fail" for finding in findings)
    if json:
        print_json({"ok": not failed, "checks": findings})
        return int(failed)
    emit(table(["", "what", "found"], [[each.state, each.what, each.found] for each in findings]))
    for finding in findings:
        if finding.hint:
            emit(f"{clean(finding.what)}: {clean(finding.hint)}")
    return int(failed)
