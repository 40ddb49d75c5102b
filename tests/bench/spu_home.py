"""SPU in a virtual environment of its own, made when first asked for: it needs an older jax than anything else here."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

NEEDS = ("spu==0.9.5", "jax==0.4.34", "jaxlib==0.4.34")
PATIENCE = 600.0


async def python(home: Path) -> str:
    """The interpreter in `home` that has SPU. Raises RuntimeError where it cannot be made, saying why."""
    interpreter, made = home / "bin" / "python", home / "made"
    if not (made.exists() and made.read_text() == "\n".join(NEEDS)):
        await _run(sys.executable, "-m", "venv", "--clear", str(home))
        await _run(str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *NEEDS)
        await _run(str(interpreter), "-c", "import spu.api, spu.libspu, spu.utils.frontend, jax")
        made.write_text("\n".join(NEEDS))
    return str(interpreter)


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        async with asyncio.timeout(PATIENCE):
            _, told = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        lines = told.decode(errors="replace").strip().splitlines() or [f"status {process.returncode}"]
        raise RuntimeError(f"no virtual environment with {NEEDS[0]}: {lines[-1]}")
