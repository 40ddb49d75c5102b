"""The kit finds what it says it finds: each way of breaking a promise is caught on a real fleet, and no other."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import leaky_roles
import msgspec
import pytest
from leaky_backend import Leaky
from workshop import Workshop

from unfed.console.runner.lab import ConsoleLab, LabFleet
from unfed.plugins import Link, ModelCard, Models, Plan
from unfed.plugins.conformance import faults

pytestmark = pytest.mark.slow

FAULTS = {
    # what goes wrong: the check that notices, and a word of what it says
    "mix": ("concurrency", "ctx.query"),
    "whim": ("concurrency", "two ways"),
    "untrue": ("events", "token_ids"),
    "remember": ("forgetting", "self._kept"),
    "open files": ("forgetting", "open files"),
    "busy": ("cancel", "still send messages"),
    "orphan": ("crash", "still running"),
    "hungry": ("bad-input", "is answered"),
    "blaming": ("bad-input", "'role'"),
    "talkative": ("logs", "log"),
    "quoting": ("logs", "error"),
}
SAID = {"text": "prompt text", "ids": "prompt token ids", "rows": "embedding rows"}


@pytest.mark.parametrize("leak", leaky_roles.LEAKS)
def test_a_leak_is_found(leak: str, workshop: Workshop, demo_card: ModelCard) -> None:
    outcome = workshop.examine(Leaky, "canaries", {"model": demo_card}, leak=leak)
    assert outcome.status == "fail", outcome.detail
    what, _, form = leak.partition(" as ")
    if what in SAID:
        assert SAID[what] in outcome.detail and "prompt is denied to one with two" in outcome.detail
    else:
        assert ("answer token ids" if "ids" in form else "logits") in outcome.detail
        assert "output is denied" in outcome.detail


def test_what_a_party_holds_is_searched_too(workshop: Workshop, demo_card: ModelCard) -> None:
    outcome = workshop.examine(Leaky, "canaries", {"model": demo_card}, leak="held")
    assert outcome.status == "fail" and "what one holds as 'notes'" in outcome.detail


@pytest.mark.parametrize("leak", ["text as one-time pad", "ids as shared", "rows as shared", "text as by turns"])
def test_shares_betray_nothing_to_one_node_alone(leak: str, workshop: Workshop, demo_card: ModelCard) -> None:
    outcome = workshop.examine(Leaky, "canaries", {"model": demo_card}, leak=leak, pooled=False)
    assert outcome.status == "pass", outcome.detail


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(
    fault: str, workshop: Workshop, demo_card: ModelCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "GONE_WITHIN", 1.0)  # what never ends is there after a second, too
    monkeypatch.setattr(faults, "QUIET_WITHIN", 3.0)
    check, said = FAULTS[fault]
    rig = workshop.rig(Leaky, {"model": demo_card}, leak=fault)
    try:
        if check == "logs":  # it searches what the other checks have left
            assert workshop.check(rig, "bad-input").status == "pass"
        outcome = workshop.check(rig, check)
    finally:
        workshop.runner.run(rig.close())
    assert outcome.status == "fail", outcome.detail
    assert said in outcome.detail


def test_a_blank_prompt_that_is_answered_shows_in_the_record(workshop: Workshop, demo_card: ModelCard) -> None:
    outcome = workshop.examine(Leaky, "record", {"model": demo_card}, leak="hungry")
    assert outcome.status == "fail" and "expected ok, failed, ok" in outcome.detail


@pytest.mark.parametrize("check", ["crash", "hang"])
def test_a_node_that_no_answer_waits_for_is_named_by_the_next_query(
    check: str, workshop: Workshop, demo_card: ModelCard
) -> None:
    outcome = workshop.examine(Leaky, check, {"model": demo_card}, leak="lopsided")
    assert outcome.status == "pass" and "two" in outcome.detail, outcome.detail


@pytest.mark.parametrize("check", ["crash", "hang"])
def test_a_fleet_that_restarts_its_nodes_answers_again(check: str, workshop: Workshop, demo_card: ModelCard) -> None:
    outcome = workshop.examine(Leaky, check, {"model": demo_card}, restart="on-failure")
    assert outcome.status == "pass", outcome.detail


@pytest.mark.parametrize("check", ["crash", "hang"])
def test_parties_that_are_done_without(check: str, workshop: Workshop, demo_card: ModelCard) -> None:
    outcome = workshop.examine(Leaky, check, {"model": demo_card}, restart="on-failure", survivable=True)
    assert outcome.status == "pass", outcome.detail
    survived = outcome.detail.partition("survived in: ")[2]
    assert "one " in survived and "two " in survived and "client" not in survived


@pytest.mark.parametrize(("leak", "said"), [("tender", "the query fails: one: it"), ("whim", "is answered otherwise")])
def test_parties_that_are_not_done_without_as_the_plan_says(
    leak: str, said: str, workshop: Workshop, demo_card: ModelCard
) -> None:
    outcome = workshop.examine(Leaky, "crash", {"model": demo_card}, restart="on-failure", survivable=True, leak=leak)
    assert outcome.status == "fail" and said in outcome.detail, outcome.detail
    assert "which the plan calls survivable" in outcome.detail


class OpenHouse(ConsoleLab):
    """A console that links everybody to everybody, whatever the plan says."""

    async def start(self, backend: str, plan: Plan, models: Models, views: Path | None) -> LabFleet:
        names = [party.name for party in plan.parties]
        everybody = tuple(Link(a, b) for a, b in combinations(names, 2))
        return await super().start(backend, msgspec.structs.replace(plan, links=everybody), models, views)


def test_a_link_that_the_plan_does_not_have_is_found(workshop: Workshop, demo_card: ModelCard) -> None:
    rig = workshop.rig(Leaky, {"model": demo_card}, lab=OpenHouse)
    outcome = workshop.check(rig, "links")
    assert outcome.status == "fail"
    for door in ("ctx.call", "connection", "channel"):
        assert f"one got into two by {door}" in outcome.detail
    assert "stranger" not in outcome.detail


def test_the_same_backend_without_a_leak_passes(workshop: Workshop, demo_card: ModelCard) -> None:
    rig = workshop.rig(Leaky, {"model": demo_card})
    try:
        for check in ("events", "bad-input", "concurrency", "forgetting", "traffic", "canaries", "record", "logs"):
            outcome = workshop.check(rig, check)
            assert outcome.status == "pass", (check, outcome.detail)
    finally:
        workshop.runner.run(rig.close())
