"""Data for stdout: JSON where it is asked for."""

from __future__ import annotations

from typing import Any

import msgspec


def print_json(value: Any) -> None:
    """`value` (anything msgspec can encode) on stdout, indented."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=1).decode(), flush=True)
