"""The kit finds what it says it finds: each way of breaking a promise is caught on a real fleet, and no other."""

from __future__ import annotations

import leaky_roles
import pytest
from leaky_backend import Leaky
from workshop import Workshop

from unfed.plugins import ModelCard

pytestmark = pytest.mark.slow

FAULTS = {
    # what goes wrong: the check that notices, and a word of what it says
    "mix": ("concurrency", "ctx.query"),
    "whim": ("concurrency", "two ways"),
    "untrue": ("events", "token_ids"),
    "remember": ("forgetting", "self._kept"),
    "open files": ("forgetting", "open files"),
    "busy": ("cancel", "still send messages"),
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
def test_a_fault_is_found(fault: str, workshop: Workshop, demo_card: ModelCard) -> None:
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


def test_the_same_backend_without_a_leak_passes(workshop: Workshop, demo_card: ModelCard) -> None:
    rig = workshop.rig(Leaky, {"model": demo_card})
    try:
        for check in ("events", "bad-input", "concurrency", "forgetting", "traffic", "canaries", "record", "logs"):
            outcome = workshop.check(rig, check)
            assert outcome.status == "pass", (check, outcome.detail)
    finally:
        workshop.runner.run(rig.close())
