"""A signal is heard at once, whichever thread takes it."""

from __future__ import annotations

import asyncio
import signal
import threading
import time

from unfed.console.cli.interrupts import Interrupts, waking


async def test_a_signal_that_another_thread_takes_wakes_the_loop() -> None:
    heard: list[float] = []
    with Interrupts() as interrupts, waking():
        interrupts.ask = lambda: heard.append(time.monotonic())

        def take() -> None:
            time.sleep(0.2)  # until the main thread sleeps
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
            time.sleep(1.5)

        began = time.monotonic()
        thread = threading.Thread(target=take)
        thread.start()
        await asyncio.sleep(1.0)
        thread.join()
    assert heard and heard[0] - began < 0.9
