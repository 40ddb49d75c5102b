"""`unfed` on real fleets: right answers, what each party sees, and parties that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from real_fleets import ask, running, with_roles
from reference import Reference
from uniform import is_uniform

from unfed.backends.unfed.backend import Unfed
from unfed.backends.unfed.names import ENTRIES, GUARD
from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.console.runner.models import read_card
from unfed.plugins import Emulation, Phase, Plan, Query, UnfedError
from unfed.plugins.view import Entry

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

DEMO = Path(__file__).parents[2] / "profiles" / "demo" / "model"
PROMPTS = ("a large body of salt water", "someone who studies the stars", "the act of moving a heavy thing")


def plan(roles: dict[str, str] | None = None, **options: Any) -> Plan:
    made = Unfed().plan({"model": read_card(DEMO)}, Unfed.Options(**options))
    return with_roles(made, {name.replace("-", "_"): role for name, role in (roles or {}).items()})


def fleet_of(launcher: LocalLauncher, folder: Path, made: Plan, **more: Any) -> Any:
    return running(launcher, made, folder, models={"model": read_card(DEMO)}, **more)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def audited(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    folder = tmp_path_factory.mktemp("unfed")
    async with fleet_of(launcher, folder, plan(check_rate=1e-9), views=folder / "views") as fleet:
        yield fleet


async def test_greedy_tokens_are_those_of_generate(audited: Fleet) -> None:
    reference = Reference(DEMO)
    for prompt in PROMPTS:
        assert list((await ask(audited, prompt)).answer.token_ids) == reference.greedy(prompt, 64)


async def test_queries_at_once_do_not_mix(audited: Fleet) -> None:
    alone = [(await ask(audited, prompt)).answer.text for prompt in PROMPTS]
    together = await asyncio.gather(*(ask(audited, prompt) for prompt in PROMPTS))
    assert [outcome.answer.text for outcome in together] == alone


async def test_a_query_that_is_cancelled_disturbs_no_other(launcher: LocalLauncher, tmp_path: Path) -> None:
    """Its last results meet the word that its circuits are over, halfway on slow links."""
    reference = Reference(DEMO)
    async with fleet_of(launcher, tmp_path, plan(shards=2), link=Emulation(delay=0.004)) as fleet:
        other = asyncio.create_task(ask(fleet, PROMPTS[2], max_new_tokens=64, temperature=2.0, seed=7))
        for number in range(12):
            query = Query(id=f"cancelled{number}", prompt=PROMPTS[number % 2], max_new_tokens=64)
            async for event in fleet.ask(query, 30):
                if isinstance(event, Phase) and event.name == "decode":
                    await asyncio.sleep(0.005 * number)
                    fleet.cancel(query.id)
            await fleet.settle(query.id)
        assert (await other).failure is None
        assert list((await ask(fleet, PROMPTS[0])).answer.token_ids) == reference.greedy(PROMPTS[0], 64)


# -- who is told what


async def test_nobody_but_the_guard_has_the_clients_key_or_address(audited: Fleet) -> None:
    for name in audited.plan.processes():
        roster = audited._crew._roster(name)
        told = {peer.name for peer in roster.peers} | set(roster.known)
        assert ("client" in told) == (name == GUARD)
        assert audited.plan.party(name).settings.get("paths") is None or name == "client"


async def test_no_message_bears_a_name_that_goes_beyond_its_link(audited: Fleet) -> None:
    """Circuits and sessions are called otherwise on every link; the reply's name goes along the layers alone."""
    seen = await views(audited)
    names: dict[bytes, set[tuple[str, str]]] = {}
    for party, entries in seen.items():
        for entry in entries:
            assert entry.query == "", "no id of a query is sent"
            for field in ("circuit", "session"):
                if entry.kind == "message" and field in entry.fields:
                    names.setdefault(entry.fields[field], set()).add((entry.sender, party))
    assert len(names) >= 10
    for links in names.values():
        pairs = {frozenset(link) for link in links}
        assert len(pairs) == 1 or links == {(name, "layers-0") for name in ENTRIES}, "the entries' shares go together"


async def test_relays_see_noise(audited: Fleet) -> None:
    seen: dict[str, bytes] = {}
    for _ in range(6):
        views_now = await views(audited)
        for party in ("guard", "relay-0", "relay-1", "relay-2"):
            for entry in views_now[party]:
                if entry.name in ("cell", "back"):
                    data = entry.fields["data"]
                    seen[party] = seen.get(party, b"") + data[: len(data) // 8 * 8]
    assert set(seen) == {"guard", "relay-0", "relay-1", "relay-2"}
    for data in seen.values():
        assert is_uniform(np.frombuffer(data, np.uint64))


async def test_keys_at_an_entry_are_noise(audited: Fleet) -> None:
    """The same prompt again and again: what an entry takes out of its cells is spread evenly and never the same.

    Of the first half of a seed the lowest bit is always 0.
    """
    held: dict[str, list[Entry]] = {name: [] for name in ENTRIES}
    for _ in range(20):
        seen = await views(audited)
        for name in ENTRIES:
            held[name] += [entry for entry in seen[name] if entry.name == "keys"]
    for entries in held.values():
        seeds = np.concatenate([entry.arrays["seeds"].numpy()[..., 1].reshape(-1).view(np.uint64) for entry in entries])
        assert is_uniform(seeds)
        for part in ("root", "last"):
            numbers = np.concatenate([entry.arrays[part].numpy().reshape(-1) for entry in entries])
            assert len(np.unique(numbers)) == len(numbers) > 200


async def views(fleet: Fleet) -> dict[str, list[Entry]]:
    """What every party saw of one more query."""
    before = {}
    outcome = await ask(fleet, PROMPTS[0])
    for view, entries, _ in outcome.settlement.views:
        everything = list(view)
        before[view.party] = everything[len(everything) - entries :]
    return before


# -- who misbehaves


def small(roles: dict[str, str]) -> Plan:
    """Two nodes with layers, and relays where the rogue is one."""
    return plan(roles, shards=2, relays=int(any(name.startswith("relay") for name in roles)))


async def test_a_cell_that_is_kept_back_holds_the_query_up(launcher: LocalLauncher, tmp_path: Path) -> None:
    """Until another follows, which does not open then; here none does."""
    async with fleet_of(launcher, tmp_path, small({"relay-0": "unfed_rogues:Dropping"})) as fleet:
        failure = (await ask(fleet, PROMPTS[0], 3)).failure
        assert failure is not None and failure.kind == "timeout"


@pytest.mark.parametrize("role", ["Flipping", "Cutting", "Repeating", "Inventing", "Reopening"])
@pytest.mark.parametrize("party", [GUARD, "relay-0"])
async def test_a_relay_that_meddles_is_named(launcher: LocalLauncher, tmp_path: Path, party: str, role: str) -> None:
    if (party, role) == ("relay-0", "Reopening"):
        pytest.skip("it opens one circuit a query")
    async with fleet_of(launcher, tmp_path, small({party: f"unfed_rogues:{role}"})) as fleet:
        failure = (await ask(fleet, PROMPTS[0])).failure
        assert failure is not None and (failure.kind, failure.party) == ("protocol", party)


@pytest.mark.parametrize(("party", "named"), [(GUARD, "guard"), ("relay-2", "guard or relay-2")])
async def test_a_relay_that_spoils_answers_is_named(
    launcher: LocalLauncher, tmp_path: Path, party: str, named: str
) -> None:
    """Along with the one before it, who may have done it too."""
    async with fleet_of(launcher, tmp_path, small({party: "unfed_rogues:FlippingBack"})) as fleet:
        failure = (await ask(fleet, PROMPTS[0])).failure
        assert failure is not None and failure.kind == "protocol"
        assert failure.message == f"{named} sent back a cell that does not open"


@pytest.mark.parametrize(("role", "said"), [("Impostor", "is not its own"), ("Forgetful", "has no key of entry-0")])
async def test_a_directory_that_lies_is_not_believed(
    launcher: LocalLauncher, tmp_path: Path, role: str, said: str
) -> None:
    with pytest.raises(UnfedError, match=said):
        async with fleet_of(launcher, tmp_path, small({"relay-0": f"unfed_rogues:{role}"})):
            pass


@pytest.mark.parametrize(
    ("party", "role", "said"),
    [
        ("entry-1", "Misshapen", "what is no share of rows"),
        ("layers-0", "Narrow", "hidden states of shape"),
    ],
)
async def test_what_does_not_fit_is_refused_and_its_sender_named(
    launcher: LocalLauncher, tmp_path: Path, party: str, role: str, said: str
) -> None:
    async with fleet_of(launcher, tmp_path, small({party: f"unfed_rogues:{role}"})) as fleet:
        failure = (await ask(fleet, PROMPTS[0])).failure
        assert failure is not None and failure.party == party and said in failure.message


async def test_shares_that_add_up_to_no_numbers_are_refused(launcher: LocalLauncher, tmp_path: Path) -> None:
    roles = {name: "unfed_rogues:Noise" for name in ENTRIES}
    async with fleet_of(launcher, tmp_path, small(roles)) as fleet:
        failure = (await ask(fleet, PROMPTS[0])).failure
        assert failure is not None and "do not add up" in failure.message
