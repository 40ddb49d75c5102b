"""Link profiles by name and by numbers."""

from __future__ import annotations

import pytest

from unfed.console.runner.links import ABOUT, LINKS, read_links
from unfed.plugins import Emulation, UnfedError


@pytest.mark.parametrize(
    ("text", "name", "delay", "bandwidth"),
    [
        ("none", None, 0, 0),
        ("lan", "lan", 0.00025, 125e6),
        ("metro", "metro", 0.0025, 50e6),
        ("wan", "wan", 0.020, 12.5e6),
        ("10ms,50mbit", "10ms,50mbit", 0.010, 6.25e6),
        ("50Mbit, 10ms", "50mbit,10ms", 0.010, 6.25e6),
        ("250us", "250us", 0.00025, 0),
        ("0.5s", "0.5s", 0.5, 0),
        ("1.5gbit/s", "1.5gbit/s", 0, 187.5e6),
        ("500kbps".replace("bps", "bitps"), "500kbitps", 0, 62500),
    ],
)
def test_names_and_numbers(text: str, name: str | None, delay: float, bandwidth: float) -> None:
    assert read_links(text) == (name, Emulation(delay=pytest.approx(delay), bandwidth=pytest.approx(bandwidth)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lam", "there is no link profile 'lam' .did you mean 'lan'"),
        ("", "there is no link profile"),
        ("10", "are not understood"),
        ("10ms,20ms", "are not understood"),
        ("-5ms", "are not understood"),
        ("10ms;50mbit", "are not understood"),
        ("1e9s", "are not understood"),
        ("61s", "a delay of 61 s"),
        ("0kbit", "bandwidth is too small"),
        ("10ms,", "are not understood"),
    ],
)
def test_nonsense_is_refused(text: str, said: str) -> None:
    with pytest.raises(UnfedError, match=said):
        read_links(text)


def test_profile_brings_its_own() -> None:
    own = {"moon": Emulation(delay=1.3), "lan": Emulation(delay=0.1)}
    assert read_links("moon", own) == ("moon", Emulation(delay=1.3))
    assert read_links("lan", own) == ("lan", Emulation(delay=0.1))


def test_all_are_explained() -> None:
    assert set(ABOUT) == set(LINKS)
