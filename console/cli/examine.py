"""The checks of `doctor`. Nothing heavy is imported: versions come from metadata."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import msgspec

from unfed.plugins import UnfedError
from unfed.plugins.host import PluginHost

from ..results.paths import config_folder, state_folder
from ..results.store import Store
from .terminal import size

State = Literal["ok", "note", "warn", "fail"]

SMALL_SHM = 64_000_000
FEW_FILES = 1024


class Finding(msgspec.Struct, frozen=True):
    """One check. `note` is something optional that is not there, `fail` something that every run needs."""

    state: State
    what: str
    found: str
    hint: str = ""


def examine() -> list[Finding]:
    """Every finding, in order; a check that breaks is a finding itself."""
    findings: list[Finding] = []
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _python, _torch, _optional, _plugins, _folders, _terminals, _memory, _ports, _files, _orphans,
    )  # fmt: skip
    for check in checks:
        try:
            findings += check()
        except Exception as error:
            findings.append(Finding("warn", check.__name__.strip("_"), f"cannot be checked: {type(error).__name__}"))
    return findings


def _python() -> Iterator[Finding]:
    right = sys.version_info >= (3, 11)
    yield Finding(
        "ok" if right else "fail", "python", platform.python_version(), "" if right else "3.11 or later is needed"
    )
    yield Finding("ok", "unfed-console", _version("unfed-console") or "not installed as a package")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    few = "parties of one fleet will share them" if cores < 4 else ""
    yield Finding("ok", "processors", str(cores), few)


def _torch() -> Iterator[Finding]:
    for name in ("torch", "transformers", "safetensors", "tokenizers"):
        found = _version(name)
        yield Finding("ok" if found else "fail", name, found or "missing", "" if found else f"pip install {name}")
    torch = _version("torch") or ""
    cuda = _version("nvidia-cublas") or _version("nvidia-cublas-cu12")
    if torch and "+cpu" not in torch and cuda:
        hint = "several GB that are not used: pip install torch --index-url https://download.pytorch.org/whl/cpu"
        yield Finding("note", "torch's build", "with CUDA", hint)
    elif torch:
        yield Finding("ok", "torch's build", "for the processor" if "+cpu" in torch else "the platform's default")


def _optional() -> Iterator[Finding]:
    for name, what, install in (
        ("tenseal", "homomorphic encryption", "pip install tenseal"),
        ("crypten", "multi-party computation", "pip install omegaconf onnx pyyaml scipy scikit-learn && "
         "pip install --no-deps crypten==0.4.1"),
    ):  # fmt: skip
        found = _version(name)
        told = found or f"missing (optional: {what})"
        yield Finding("ok" if found else "note", name, told, "" if found else install)


def _plugins() -> Iterator[Finding]:
    host = PluginHost()
    names = sorted(host.backends())
    yield Finding(
        "ok" if names else "fail", "backends", ", ".join(names) or "none", "" if names else "reinstall unfed-console"
    )
    for broken in host.unavailable.values():
        yield Finding("warn", f"plugin {broken.name}", broken.reason, broken.hint)
    for name, backend in host.backends().items():
        for need in backend.missing():
            yield Finding("note", f"backend {name}", f"lacks {need.module}", need.install)


def _folders() -> Iterator[Finding]:
    try:
        Store().check()
        room = shutil.disk_usage(state_folder()).free
        low = room < 100_000_000
        yield Finding(
            "warn" if low else "ok", "state folder", f"{state_folder()}, {size(room)} free", "make room" if low else ""
        )
    except UnfedError as error:
        yield Finding("fail", "state folder", error.failure.message, error.failure.hint or "")
    there = "" if config_folder().is_dir() else " (not made yet)"
    yield Finding("ok", "config folder", f"{config_folder()}{there}")


def _terminals() -> Iterator[Finding]:
    try:
        for descriptor in os.openpty():
            os.close(descriptor)
        yield Finding("ok", "pseudo terminals", "available")
    except OSError as error:
        yield Finding("note", "pseudo terminals", error.strerror or "none", "only tests of the screen need them")


def _memory() -> Iterator[Finding]:
    shared = Path("/dev/shm")
    if not shared.is_dir():
        yield Finding("note", "/dev/shm", "none")
        return
    with tempfile.TemporaryFile(dir=shared) as file:
        file.write(b"\0" * 4096)
    free = shutil.disk_usage(shared).free
    low = free < SMALL_SHM
    yield Finding("warn" if low else "ok", "/dev/shm", f"{size(free)} free", "docker run --shm-size=1g" if low else "")


def _ports() -> Iterator[Finding]:
    try:
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            socket.create_connection(server.getsockname(), timeout=5),
        ):
            pass
        yield Finding("ok", "loopback", "parties can reach each other")
    except OSError as error:
        yield Finding("fail", "loopback", error.strerror or str(error), "parties talk over 127.0.0.1; allow it")


def _files() -> Iterator[Finding]:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    few = 0 <= limit < FEW_FILES
    yield Finding("warn" if few else "ok", "open files", f"at most {limit}", f"ulimit -n {FEW_FILES}" if few else "")


def _orphans() -> Iterator[Finding]:
    """Parties whose console is gone: there should be none, ever."""
    import psutil

    left = []
    for process in psutil.process_iter(["pid", "name", "cmdline", "uids"]):
        title = " ".join(process.info["cmdline"] or ())
        mine = process.info["uids"] is None or process.info["uids"].real == os.getuid()
        if mine and title.startswith("unfed ") and "/" in title and _abandoned(process):
            left.append(process.info["pid"])
    told = f"{len(left)} without a console: {', '.join(map(str, left))}" if left else "none left behind"
    yield Finding("warn" if left else "ok", "parties", told, f"kill {' '.join(map(str, left))}" if left else "")


def _abandoned(process: object) -> bool:
    """Whether no console (nor any shell or service that started `unfed-node`) stands above a party."""
    import psutil

    assert isinstance(process, psutil.Process)
    try:
        titles = [(parent.pid, " ".join(parent.cmdline())) for parent in process.parents()]
        above = [(pid, title) for pid, title in titles if not title.startswith("unfed ")]
        return not above or (above[0][0] == 1 and "unfed-console" not in above[0][1])
    except psutil.Error:
        return False


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
