"""Peers run in processes of their own; the bench asks them in lines of JSON, and they end when it does."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PATIENCE = 300.0
"""Seconds to wait for an answer."""


class Peer:
    """A Python script of this folder that answers each line on stdin by one on stdout."""

    def __init__(self, process: asyncio.subprocess.Process, script: str) -> None:
        self._process = process
        self._script = script

    @classmethod
    async def start(cls, script: str, *arguments: str, python: str = sys.executable) -> Peer:
        process = await asyncio.create_subprocess_exec(
            python,
            str(HERE / script),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=64 << 20,
            start_new_session=True,  # Ctrl-C is the bench's to handle
        )
        return cls(process, script)

    async def ask(self, question: dict[str, Any]) -> Any:
        """Its answer. Raises RuntimeError where it ends instead, TimeoutError where it takes too long."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        async with asyncio.timeout(PATIENCE):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._script} ended with status {await self._process.wait()}")
        return json.loads(line)

    async def stop(self) -> None:
        """End it, and what it started itself: they are a session of their own."""
        if self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
