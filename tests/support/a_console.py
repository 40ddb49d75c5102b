"""A console of its own process: `a_console.py FOLDER local|cold [stop:PARTY] [hold:PARTY] [interruptible]`.

It starts a fleet of four, brings the named parties into the named states, prints the process ids of the fork server
(where there is one) and of the parties, and waits. With `interruptible` it answers an interrupt by one more query.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from puppets import plan
from real_fleets import act, ask, pid_of, wish

from unfed.console.fleet.cold import ColdLauncher
from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.plugins import Launcher, Link


async def main(folder: Path, kind: str, *states: str) -> int:
    folder.mkdir(exist_ok=True)
    launcher: Launcher = LocalLauncher(folder, preload=()) if kind == "local" else ColdLauncher(folder)
    await launcher.start()
    links = (Link("client", "a"), Link("client", "b"), Link("client", "c"))
    fleet = Fleet("console", "puppets", plan("a", "b", "c", links=links), {}, launcher=launcher, logs=folder)
    await fleet.start()
    interrupted = asyncio.Event()
    if "interruptible" in states:
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupted.set)
    pids = [pid_of(fleet, name) for name in fleet.plan.processes()]
    if isinstance(launcher, LocalLauncher) and launcher._server is not None:
        pids.insert(0, launcher._server.pid)
    holding = []
    for state in states:
        what, _, party = state.partition(":")
        if what == "stop":
            os.kill(pid_of(fleet, party), signal.SIGSTOP)
        elif what == "hold":
            holding.append(asyncio.create_task(ask(fleet, wish("acts:hold_the_gil", party, seconds=60))))
            await asyncio.sleep(0.2)
    print(*pids, flush=True)
    await interrupted.wait()
    print("interrupted, and then:", await act(fleet, "acts:calls", peer="c", count=3), flush=True)
    await fleet.stop()
    await launcher.close()
    return 130


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:])))
