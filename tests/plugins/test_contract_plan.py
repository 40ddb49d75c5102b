"""Plans: who is in them, who is linked to whom, and what `check` refuses."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unfed.plugins import CLIENT, Claim, Link, Party, Plan, UnfedError, badge, chain

EXPOSED = Claim(asset="prompt", property="confidentiality", against=("node",), basis="none")


def plan(**changes: Any) -> Plan:
    made = Plan(
        parties=(Party(CLIENT, "m:Client"), Party("node", "m:Node")),
        links=chain(CLIENT, "node"),
        guarantee=(EXPOSED,),
    )
    return msgspec.structs.replace(made, **changes)


def test_a_plan_that_hangs_together_is_returned() -> None:
    assert plan().check() == plan()


PARTIES = plan().parties


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"parties": (*PARTIES, Party("node", "m:Node"))}, "'node' is declared twice"),
        ({"parties": PARTIES[1:], "links": ()}, "no party called 'client'"),
        ({"parties": (PARTIES[0], Party("node", "m.Node"))}, "package.module:Class"),
        ({"parties": (PARTIES[0], Party("node", "m:Node", replicas=0))}, "cannot have 0 replicas"),
        ({"parties": (Party(CLIENT, "m:C", replicas=2), PARTIES[1])}, "cannot have 2 replicas"),
        ({"parties": (Party(CLIENT, "m:C", survivable=True), PARTIES[1])}, "no query survives the loss of the client"),
        ({"links": (Link(CLIENT, "nod"),)}, "names 'nod'"),
        ({"parties": (PARTIES[0], Party("node", "m:Node", knows=("nod",)))}, "node knows 'nod'"),
        ({"parties": (PARTIES[0], Party("node", "m:Node", knows=(CLIENT,)))}, "node knows the client"),
        ({"links": (Link("node", "node"),)}, "linked to itself"),
        ({"guarantee": ()}, "guarantee is empty"),
        ({"guarantee": (msgspec.structs.replace(EXPOSED, against=("nobody",)),)}, "names 'nobody'"),
        ({"guarantee": (msgspec.structs.replace(EXPOSED, against=(CLIENT,)),)}, "against the client"),
        ({"mode": "simulated"}, "simulated: …"),
    ],
)
def test_a_plan_that_does_not_hang_together_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UnfedError) as caught:
        plan(**changes).check()
    assert said in str(caught.value) and caught.value.failure.kind == "internal"


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(UnfedError) as caught:
        plan(guarantee=(), links=(Link("a", "b"),)).check()
    assert all(said in str(caught.value) for said in ("'a'", "'b'", "guarantee"))


def test_a_simulated_plan_says_why() -> None:
    claim = msgspec.structs.replace(EXPOSED, assumes=("simulated: no enclave here",))
    assert plan(mode="simulated", guarantee=(claim,)).check().mode == "simulated"


def test_outsiders_may_stand_in_claims() -> None:
    assert plan(guarantee=(msgspec.structs.replace(EXPOSED, against=("network", "reader", "node")),)).check()


def test_replicas_are_processes_of_their_own() -> None:
    many = plan(parties=(PARTIES[0], Party("node", "m:Node", replicas=2), Party("far", "m:Far")))
    assert many.processes() == (CLIENT, "node.0", "node.1", "far")
    assert many.party("node.1") == many.party("node") and many.party("node.1").name == "node"
    assert many.peers(CLIENT) == ("node.0", "node.1")
    assert many.peers("node.1") == (CLIENT,) and many.peers("far") == ()
    claim = msgspec.structs.replace(EXPOSED, against=("node.1",))
    assert msgspec.structs.replace(many, guarantee=(claim,)).check()
    with pytest.raises(KeyError):
        many.party("node.2")


def test_who_is_known_without_a_link() -> None:
    far = Party("far", "m:Far", replicas=2)
    made = plan(parties=(Party(CLIENT, "m:Client", knows=("node", "far")), PARTIES[1], far)).check()
    assert made.known(CLIENT) == ("far.0", "far.1"), "a peer is known anyway"
    assert made.known("node") == made.known("far.0") == ()


def test_only_the_client_is_trusted() -> None:
    assert [party.trusted for party in plan().parties] == [True, False]


@pytest.mark.parametrize(
    ("names", "links"),
    [
        (("a", "b", "c"), [("a", "b"), ("b", "c")]),
        (("client", "node", "client"), [("client", "node")]),
        (("a", "a"), []),
        (("a",), []),
        ((), []),
    ],
)
def test_a_chain_links_neighbours_once(names: tuple[str, ...], links: list[tuple[str, str]]) -> None:
    assert [(link.a, link.b) for link in chain(*names)] == links


@given(st.lists(st.sampled_from("abcde"), max_size=12))
def test_a_chain_never_repeats_a_link(names: list[str]) -> None:
    links = [frozenset((link.a, link.b)) for link in chain(*names)]
    assert len(links) == len(set(links)) and all(len(link) == 2 for link in links)


def test_a_plan_survives_json() -> None:
    party = Party("node", "m:Node", opens={"model": ("layers 0-1",)}, settings={"x": [1, {"y": None}]}, replicas=2)
    made = plan(parties=(PARTIES[0], party))
    assert msgspec.json.decode(msgspec.json.encode(made), type=Plan) == made


# -- guarantees

COMPUTATIONAL = "prompt: computational"


def confidential(asset: str, basis: str, *against: str) -> Claim:
    return Claim(asset=asset, property="confidentiality", against=against, basis=basis)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ((), "prompt: no claim"),
        ((confidential("output", "none", "a"),), "prompt: no claim"),
        ((confidential("prompt", "computational", "network"),), "prompt: no claim"),
        ((confidential("prompt", "none", "a"),), "prompt: exposed"),
        ((confidential("prompt", "statistical", "a"), confidential("prompt", "hardware", "b")), "prompt: statistical"),
        (
            (confidential("prompt", "information-theoretic", "a"), confidential("prompt", "none", "a", "b")),
            "prompt: information-theoretic, unless parties pool",
        ),
        (
            (confidential("prompt", "computational", "a"), confidential("prompt", "obfuscation", "a", "b")),
            "prompt: computational, pooled: obfuscation",
        ),
        ((confidential("prompt", "computational", "a"), confidential("prompt", "hardware", "a", "b")), COMPUTATIONAL),
        ((confidential("prompt", "none", "a"), confidential("prompt", "none", "a", "b")), "prompt: exposed"),
        ((confidential("prompt", "computational", "a"), confidential("prompt", "none", "b")), "prompt: exposed"),
        (
            (confidential("prompt", "computational", "a"), confidential("prompt", "none", "a", "reader")),
            "prompt: exposed",
        ),
        ((confidential("prompt", "none", "a", "b"),), "prompt: exposed"),
        ((confidential("prompt", "computational", "a", "network"),), COMPUTATIONAL),
    ],
)
def test_the_badge_is_the_weakest_basis_against_any_one_party_and_says_when_pooling_breaks_it(
    claims: tuple[Claim, ...], said: str
) -> None:
    assert badge(claims) == said


def test_a_claim_denies_unless_its_basis_is_none() -> None:
    assert not EXPOSED.denies and confidential("prompt", "obfuscation", "a").denies
