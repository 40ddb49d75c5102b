"""Whom checks found out, at the client: until when they are not used, and what is said of them."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from unfed.backends.unfed.client.caught import Caught
from unfed.backends.unfed.integrity.messages import Verdict
from unfed.backends.unfed.names import DEALER, ENTRIES
from unfed.plugins import Context, UnfedError

THREE = (*ENTRIES, DEALER)


class Certificates:
    """As much of a context as this needs."""

    def __init__(self) -> None:
        self.process = dict.fromkeys((*THREE, "layers-0"), 1)

    def certificate(self, party: str) -> str:
        return f"of process {self.process[party]} of {party}"


@pytest.fixture
def known() -> Certificates:
    return Certificates()


@pytest.fixture
def caught(known: Certificates, tmp_path: Path) -> Caught:
    return Caught(cast("Context", known), str(tmp_path / "proofs"))


def used(caught: Caught) -> bool:
    try:
        caught.check(ENTRIES)
    except UnfedError:
        return False
    return True


def test_those_of_whom_it_was_one_are_used_again_once_all_of_them_are_replaced(
    known: Certificates, caught: Caught
) -> None:
    """Whoever is replaced by itself may not have been the one."""
    failure = caught.add(Verdict(what="computed something else", among=THREE)).failure
    assert failure.party is None and "entry-0, entry-1 and dealer" in failure.message
    for name in (DEALER, "entry-1", "entry-0"):
        assert not used(caught)
        known.process[name] = 2
    assert used(caught)
    known.process[DEALER] = 1
    assert used(caught), "it is forgotten"


def test_each_is_told_of_once_and_none_as_caught(known: Certificates, caught: Caught, tmp_path: Path) -> None:
    for _ in range(2):
        caught.add(Verdict(what="computed something else", among=THREE))
    assert [(note.kind, note.party) for note in caught.news()] == [("doubted", name) for name in THREE]
    assert not caught.news() and not (tmp_path / "proofs").exists()
    known.process[DEALER] = 2
    caught.add(Verdict(what="computed something else", among=THREE))
    assert [note.party for note in caught.news()] == list(THREE), "and again where one of them is another"


def test_a_node_that_is_caught_leaves_the_others_as_they_are(known: Certificates, caught: Caught) -> None:
    caught.add(Verdict("layers-0", "computed something else", b"proof"))
    assert used(caught) and caught.why("layers-0") is not None
    assert [(note.kind, note.party) for note in caught.news()] == [("caught", "layers-0")]
    known.process["layers-0"] = 2
    assert caught.why("layers-0") is None


def test_an_entry_that_is_caught_by_itself_is_used_again_once_it_is_replaced(
    known: Certificates, caught: Caught
) -> None:
    caught.add(Verdict("entry-0", "opened something else"))
    assert not used(caught)
    known.process["entry-0"] = 2
    assert used(caught)
