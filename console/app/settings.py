"""What the console remembers between starts: the theme, and whether it has been met before."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

FILE = "console.json"


class Settings(msgspec.Struct, frozen=True):
    theme: str = ""
    welcomed: bool = False


def read_settings(folder: Path) -> Settings:
    """The settings in `folder`; the defaults where there are none or they cannot be understood."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Settings)
    except (OSError, msgspec.DecodeError):
        return Settings()


def write_settings(folder: Path, settings: Settings) -> None:
    """Keep `settings`; a folder that cannot be written costs the memory and nothing else."""
    fresh = folder / f"{FILE}.{os.getpid()}"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh.write_bytes(msgspec.json.encode(settings))
        fresh.replace(folder / FILE)  # two consoles at once never leave half a file
