"""The life of a party's process: it settles in, is told who it is, plays until it is told to stop, and ends."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
from typing import NoReturn

import setproctitle
import uvloop

from unfed.plugins import PartySpec

from .control import Begin, Broken, Order, Stop
from .echoes import Echoes
from .ended import Ended
from .failures import explain
from .figures import Figures
from .host import Host
from .link import ControlLink, ControlStream
from .meter import Meter


def play(stream: ControlStream) -> NoReturn:
    """Be a party until the launcher says stop or is gone; the process ends here."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    uvloop.run(_play(stream))
    raise AssertionError("a party ends by itself")


async def _play(stream: ControlStream) -> NoReturn:
    loop = asyncio.get_running_loop()
    begun: asyncio.Future[PartySpec] = loop.create_future()
    stopped = asyncio.Event()
    host: Host | None = None

    def obey(order: Order) -> None:
        if host is not None:
            host.obey(order)
        elif isinstance(order, Stop):
            stopped.set()
        elif isinstance(order, Begin) and not begun.done():
            begun.set_result(order.spec)

    def take(order: Order) -> None:
        loop.call_soon_threadsafe(obey, order)

    link = ControlLink(stream, take)
    ended = Ended()
    meter, echoes = Meter(ended), Echoes()
    link.start(Figures(meter, echoes).beat)
    spec = await begun
    meter.begin(spec.name, spec.private_ids)
    setproctitle.setproctitle(spec.title)
    settle_in(spec.threads)
    try:
        host = Host(spec, link, meter, echoes, ended, stopped)
        await host.listen()
    except Exception as error:
        link.send(Broken(explain(spec.name, error, "the party could not start")))
    # It may be that we were told to stop before there was a host, or that there is none.
    await stopped.wait()
    link.finish()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(link.status)  # threads of the role may be blocked for good, and the interpreter would wait for them


def settle_in(threads: int) -> None:
    """Threads as the plan says, and generators of this process's own: forked children would share their parent's."""
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)  # for what is imported later
    random.seed(os.urandom(32))
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(int.from_bytes(os.urandom(4), "little"))
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(int.from_bytes(os.urandom(8), "little", signed=True))
        torch.set_num_threads(threads)
