"""Staying awake: only after prompt messages, only for a moment, less and less where it is in vain."""

from __future__ import annotations

import asyncio
import os

import pytest

from unfed.console.party import vigil as module
from unfed.console.party.vigil import LONGEST_PAUSE, OFTEN, PAUSE, PROMPT, LoopVigil, Vigil


class Clock:
    """Stands still until told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "monotonic", clock)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    return clock


def talk(vigil: Vigil, times: int = OFTEN) -> None:
    """So many messages that come at once after ours."""
    for _ in range(times):
        vigil.went()
        vigil.came()


def test_nobody_stays_awake_before_messages_have_been_prompt(clock: Clock) -> None:
    vigil = Vigil()
    for _ in range(OFTEN):
        vigil.went()
        assert not vigil.until
        vigil.came()
    vigil.went()
    assert vigil.until == clock.now + PROMPT
    vigil.came()
    assert not vigil.until


def test_a_peer_that_takes_its_time_is_slept_through(clock: Clock) -> None:
    vigil = Vigil()
    talk(vigil)
    clock.now += 2 * PROMPT
    vigil.came()
    for _ in range(OFTEN):
        vigil.went()
        assert not vigil.until, "the late message began the count anew"
        vigil.came()


def test_staying_awake_in_vain_is_tried_less_and_less(clock: Clock) -> None:
    vigil, pauses = Vigil(), []
    talk(vigil)
    vigil.went()
    for _ in range(6):
        vigil.vain()
        before = clock.now
        while not vigil.until:
            clock.now += PAUSE / 2
            vigil.went()
        pauses.append(clock.now - before)
    assert pauses == sorted(pauses) and pauses[0] < 2 * PAUSE
    assert LONGEST_PAUSE <= pauses[-1] < LONGEST_PAUSE + 2 * PAUSE


def test_on_one_core_nobody_stays_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
    vigil = Vigil()
    talk(vigil)
    vigil.went()
    assert not vigil.until


async def test_an_event_loop_looks_until_the_time_is_over_and_then_sleeps(clock: Clock) -> None:
    vigil = LoopVigil()
    talk(vigil)
    vigil.went()
    for _ in range(20):
        await asyncio.sleep(0)
        assert vigil.until and vigil._watching
    clock.now += PROMPT
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not vigil.until and not vigil._watching


async def test_a_message_ends_the_looking_which_was_then_not_in_vain(clock: Clock) -> None:
    vigil = LoopVigil()
    talk(vigil)
    vigil.went()
    vigil.came()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not vigil._watching
    vigil.went()
    assert vigil.until, "the next one is looked out for at once"
