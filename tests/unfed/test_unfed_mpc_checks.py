"""Spot checks of what entries and dealer compute together, on real fleets: found out, and nobody accused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from real_fleets import Outcome, ask, log_of, running, with_roles

from unfed.backends.unfed.backend import Unfed
from unfed.backends.unfed.names import DEALER, ENTRIES
from unfed.console.fleet.process import LocalLauncher
from unfed.console.runner.models import read_card
from unfed.plugins import Note, Plan, Token

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

DEMO = Path(__file__).parents[2] / "profiles" / "demo" / "model"
PROMPTS = ("a large body of salt water =>", "someone who studies the stars =>")
THREE = (*ENTRIES, DEALER)


def plan(roles: dict[str, str], **options: Any) -> Plan:
    chosen = Unfed.Options(**{"mpc_layers": 1, "relays": 0, "shards": 1, "check_rate": 1} | options)
    made = Unfed().plan({"model": read_card(DEMO)}, chosen)
    return with_roles(made, {name.replace("-", "_"): f"unfed_rogues:{role}" for name, role in roles.items()})


def fleet_of(launcher: LocalLauncher, folder: Path, made: Plan, told: list[Note]) -> Any:
    return running(launcher, made, folder, models={"model": read_card(DEMO)}, told=told.append)


def notes(*outcomes: Outcome) -> list[Note]:
    return [event for each in outcomes for event in each.events if isinstance(event, Note)]


def about(found: list[Note]) -> list[tuple[str, str]]:
    return [(note.kind, note.party) for note in found]


def is_of_the_three(outcome: Outcome) -> bool:
    """Whether it failed of what they did, and says that of none by itself: the client is who tells it."""
    failure = outcome.failure
    assert failure is not None and failure.kind == "protocol" and failure.party == "client"
    assert "failed a spot check together: they computed something else: off by" in failure.message
    assert "entry-0, entry-1 and dealer" in failure.message and "nobody can tell which" in failure.message
    return str(failure.hint) == "replace entry-0, entry-1 and dealer"


@pytest.mark.parametrize("rogue", [{"entry-1": "Perturbing"}, {DEALER: "Lying"}])
async def test_what_entries_and_dealer_do_wrong_is_found_out_by_a_decoy_and_nobody_is_accused(
    launcher: LocalLauncher, tmp_path: Path, rogue: dict[str, str]
) -> None:
    proofs, told = tmp_path / "proofs", list[Note]()
    async with fleet_of(launcher, tmp_path, plan(rogue, proofs=str(proofs)), told) as fleet:
        first = await ask(fleet, PROMPTS[0], max_new_tokens=3)
        assert first.failure is None and not notes(first), "a decoy follows what is asked"
        assert await fleet.rested()
        second, third = [await ask(fleet, prompt, max_new_tokens=3) for prompt in PROMPTS]
        assert is_of_the_three(second) and is_of_the_three(third)
        assert about(told) == [("doubted", name) for name in THREE], "each once, none that it was it"
        assert not notes(second, third)
        assert not any(isinstance(event, Token) for event in (*second.events, *third.events))
    assert not proofs.exists()


async def test_a_live_check_finds_it_before_the_answer_counts_and_doubts_nobody_before(
    launcher: LocalLauncher, tmp_path: Path
) -> None:
    made = plan({"entry-0": "Turning", "verifier": "Telling"}, checks="live", mpc_layers=2, tail=1)
    told: list[Note] = []
    async with fleet_of(launcher, tmp_path, made, told) as fleet:
        honest = await ask(fleet, PROMPTS[0], max_new_tokens=6)
        assert honest.failure is None and about(notes(honest)) == [("check", "verifier")]
        assert log_of(fleet, "verifier").count("off by") == 1
        wrong = await ask(fleet, PROMPTS[1], max_new_tokens=3)
        assert is_of_the_three(wrong) and about(notes(wrong)) == [("doubted", name) for name in THREE]
        assert not told


async def test_a_guard_that_falls_in_a_decoy_is_nobodys_fault(launcher: LocalLauncher, tmp_path: Path) -> None:
    """It is not known then whether all did what they should; what is asked fails for the same reason."""
    told: list[Note] = []
    async with fleet_of(launcher, tmp_path, plan(dict.fromkeys(ENTRIES, "Overflowing")), told) as fleet:
        for prompt in PROMPTS:
            outcome = await ask(fleet, prompt, max_new_tokens=1)
            assert outcome.failure is not None and "left the range" in outcome.failure.message
            assert not notes(outcome)
            assert await fleet.rested()
        assert about(told) == [("check", "verifier")] * 2
        assert all("a decoy could not be checked: the model's numbers left the range" in note.text for note in told)
