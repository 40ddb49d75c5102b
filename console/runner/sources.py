"""Turns a model reference into a folder: a path, an id that a plugin's source knows, or one of the Hugging Face hub."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from unfed.plugins import ModelCard, ModelSource, UnfedError
from unfed.plugins.host import PluginHost

from ..results.paths import expand
from .models import read_card

STALLED = 120.0
"""Seconds without a word from the helper after which a fetch is given up."""

Say = Callable[[str], None]
_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


async def open_model(reference: str, host: PluginHost, say: Say | None = None) -> ModelCard:
    """The card of the model that `reference` means: a folder, or an id (`hf:ORG/NAME` is never taken for a folder).

    Args:
        say: is told how a fetch goes on.
    Raises:
        UnfedError: no such folder or model, one that cannot be fetched, or files that cannot be used.
    """
    forced = reference.startswith("hf:")
    wanted = reference.removeprefix("hf:")
    if not forced and (path := _as_folder(wanted)):
        return await asyncio.to_thread(read_card, path)
    if not forced:
        for name, source in sorted(host.model_sources().items()):
            if (found := await _ask(name, source, wanted)) is not None:
                return await asyncio.to_thread(read_card, found, wanted)
    if not _ID.fullmatch(wanted):
        raise UnfedError(
            f"{reference!r} is neither a model folder nor an id", hint="name a folder, or an id like ORG/NAME"
        )
    try:
        folder = await fetch_from_hub(wanted, say or (lambda line: None))
    except UnfedError as error:
        if forced:
            raise
        hint = f"{error.failure.hint}; or did you mean a folder? There is no {wanted} here"
        raise UnfedError(error.failure.message, kind=error.failure.kind, hint=hint) from error
    return await asyncio.to_thread(read_card, folder, wanted)


def _as_folder(reference: str) -> Path | None:
    """The path that a reference is, judged by its form and by what is there; None for an id."""
    if "\0" in reference or not reference.strip():
        raise UnfedError(
            "the name of the model is empty" if not reference.strip() else "the name of the model is no path"
        )
    path = expand(reference)
    explicit = reference.startswith(("/", "./", "../", "~")) or reference in (".", "..") or reference.count("/") > 1
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
    except OSError as error:
        raise UnfedError(f"cannot read the model folder: {error.strerror}") from error
    if is_file:
        raise UnfedError(f"{reference} is a file", hint=f"name its folder: {path.parent}")
    if is_folder or explicit:
        return path
    if len(path.parts) == 2 and Path(path.parts[0]).is_dir():
        there = f"{path.parts[0]} is a folder here, but it holds no {path.parts[1]}"
        raise UnfedError(
            f"there is no model folder {reference}: {there}", hint=f"write hf:{reference} for the hub's model"
        )
    return None


async def _ask(name: str, source: type[ModelSource], reference: str) -> Path | None:
    try:
        return await source().fetch(reference)
    except UnfedError:
        raise
    except Exception as error:  # a third party's code may raise anything at all
        raise UnfedError(
            f"the model source {name} failed: {type(error).__name__}: {error}", kind="unavailable"
        ) from error


async def fetch_from_hub(identifier: str, say: Say) -> Path:
    """The folder of a hub's model, fetched by a helper process where the local cache lacks it.

    Raises:
        UnfedError: it cannot be fetched, and why.
    """
    helper = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "unfed.console.party.fetch", identifier),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is ours to handle
    )
    say(f"fetching {identifier}")
    try:
        assert helper.stdout is not None
        read = asyncio.create_task(helper.stdout.read())
        last = await _listen(helper, identifier, say)
        outcome = _outcome(await read)
        await helper.wait()
    finally:
        if helper.returncode is None:
            helper.kill()
            await helper.wait()
    if folder := outcome.get("folder"):
        return Path(folder)
    why = outcome.get("error") or last or f"its helper ended with status {helper.returncode}"
    raise UnfedError(
        f"cannot fetch the model {identifier!r}: {why}",
        kind="unavailable",
        hint=outcome.get("hint") or "fetch it by hand and name its folder",
    )


async def _listen(helper: asyncio.subprocess.Process, identifier: str, say: Say) -> str:
    """Pass on what the helper says until it is silent for good; returns its last line."""
    assert helper.stderr is not None
    last = ""
    while True:
        try:
            async with asyncio.timeout(STALLED):
                line = await helper.stderr.readline()
        except TimeoutError:
            raise UnfedError(
                f"cannot fetch the model {identifier!r}: nothing has come for {STALLED:.0f} s",
                kind="unavailable",
                hint="try again: what has come is kept",
            ) from None
        except ValueError:  # a line of more than 64 kB
            continue
        if not line:
            return last
        last = line.decode(errors="replace").strip()
        if last:
            say(f"fetching {identifier}: {last}")


def _outcome(data: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
