"""Meters and emulated links by themselves."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from unfed.console.party.emulation import SlowLink
from unfed.console.party.ended import Ended
from unfed.console.party.frames import MAX_COUNT
from unfed.console.party.meter import Meter
from unfed.plugins import Emulation


def test_depth_never_overflows_what_may_be_sent() -> None:
    meter = Meter(Ended())
    meter.received("q", MAX_COUNT, 1)
    assert meter.sending("q") == MAX_COUNT


def test_what_is_late_is_counted_for_no_query_and_kept_nowhere() -> None:
    ended = Ended()
    meter = Meter(ended)
    meter.sent("q", "a", 10)
    ended.add("q")
    assert meter.settle("q").bytes == 10
    meter.sent("q", "a", 10)
    meter.received("q", 5, 10)
    assert meter.settle("q").bytes == 0 and meter.settle("q").rounds == 0
    assert (meter.messages_in, meter.messages_out, meter.bytes_out) == (1, 2, 20)
    assert not meter._sent and not meter._depth


@given(
    st.lists(st.tuples(st.floats(0, 5), st.integers(1, 10**6)), min_size=1, max_size=30),
    st.floats(0, 1),
    st.floats(1e3, 1e9),
    st.integers(0, 10**6),
)
def test_a_bucket_never_lets_more_through_than_it_should(
    messages: list[tuple[float, int]], delay: float, bandwidth: float, burst: int
) -> None:
    """In any stretch of time: at most the burst and what the bandwidth gives; nothing early; nothing overtakes."""
    link = SlowLink(Emulation(delay=delay, bandwidth=bandwidth, burst=burst))
    start = time.monotonic() - 100
    at, dues = start, []
    for gap, size in messages:
        at += gap / 30
        due = link.due(at, size)
        assert due >= at + delay
        dues.append((due, size))
    assert dues == sorted(dues, key=lambda each: each[0])
    for i in range(len(dues)):
        for j in range(i, len(dues)):
            through = sum(size for _, size in dues[i : j + 1])
            # The first is counted when it is whole, so its own bytes may have come before.
            assert through - dues[i][1] <= bandwidth * (dues[j][0] - dues[i][0]) + burst + 1


def test_a_time_in_the_future_is_now() -> None:
    link = SlowLink(Emulation(delay=0.01))
    assert link.due(1e11, 10) <= time.monotonic() + 0.01
