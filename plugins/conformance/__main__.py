"""`python -m unfed.plugins.conformance BACKEND`: prints the checklist. Status 0: all hold, 1: some do not, 2: usage."""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec

from ..errors import UnfedError
from .checks import CHECKS, title
from .kit import PATIENCE, run_checks
from .outcome import Outcome


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m unfed.plugins.conformance", description=__doc__.partition(":")[2])
    parser.add_argument("backend", help="name of an installed backend")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="[SLOT=]FOLDER",
        help="fills a model slot (`model` where none is named); again for slots that take several",
    )
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="an option of the backend")
    parser.add_argument("--only", action="append", default=[], metavar="CHECK", help=f"one of {', '.join(CHECKS)}")
    parser.add_argument("--patience", type=float, default=PATIENCE, metavar="SECONDS", help="what one query may take")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave logs and views there")
    parser.add_argument("--json", action="store_true", help="print the outcomes as JSON")
    given = parser.parse_args(arguments)

    def tell(outcome: Outcome) -> None:
        if not given.json:
            print(f"{outcome}  ({outcome.seconds:.1f} s)", flush=True)
            if outcome.status == "fail":
                print(f"      asked for: {title(outcome.check)}", flush=True)

    try:
        outcomes = run_checks(
            given.backend,
            only=given.only,
            told=tell,
            models=_models(given.model),
            options=dict(_pair(each) for each in given.set),
            patience=given.patience,
            folder=given.keep,
        )
    except UnfedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    failed = sum(each.status == "fail" for each in outcomes)
    if given.json:
        print(json.dumps(msgspec.to_builtins(outcomes), indent=1))
    else:
        print(f"{len(outcomes) - failed} of {len(outcomes)} checks hold" + (f", {failed} do not" if failed else ""))
    return 1 if failed else 0


def _models(given: list[str]) -> dict[str, Any]:
    slots: defaultdict[str, list[str]] = defaultdict(list)
    for text in given:
        slot, equals, folder = text.partition("=")
        slots[slot if equals else "model"].append(folder if equals else text)
    return {slot: folders[0] if len(folders) == 1 else folders for slot, folders in slots.items()}


def _pair(text: str) -> tuple[str, str]:
    option, equals, value = text.partition("=")
    if not equals:
        raise UnfedError(f"--set {text!r} is not of the form OPTION=VALUE")
    return option, value


if __name__ == "__main__":
    sys.exit(main())
