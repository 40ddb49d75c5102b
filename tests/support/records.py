"""Records for tests of what becomes of a record: made up by hand, no run stands behind them."""

from __future__ import annotations

from typing import Any

from unfed.console.results.record import (
    AnswerInfo,
    AuditEntry,
    Fidelity,
    ModelInfo,
    News,
    NoteInfo,
    PartyInfo,
    Prompt,
    Record,
    Result,
    RewardSplit,
    Seconds,
    Traffic,
    Utility,
)
from unfed.plugins import Claim, Failure, LinkCount

CLAIM = Claim(
    asset="prompt", property="confidentiality", against=("layers-0",), basis="none", reveals=("activations", "length")
)


def result(variant: str = "split", prompt_id: str = "p1", **changed: Any) -> Result:
    """A result that is ok, but for what is `changed`."""
    fields: dict[str, Any] = {
        "backend": variant.partition("[")[0],
        "variant": variant,
        "prompt_id": prompt_id,
        "options": {"shards": 2},
        "answer": AnswerInfo(text="animal: collie", token_ids=[5, 7, 0]),
        "seconds": Seconds(setup=0.4, first_token=0.1, total=0.3, per_token=0.1, phases={"prefill": 0.1}),
        "traffic": Traffic(
            messages=2,
            bytes=900,
            rounds=2,
            links=[LinkCount(source="client", target="layers-0", messages=2, bytes=900)],
        ),
        "fidelity": Fidelity(reference="plain", token_agreement=1.0, mean_kl=0.0, max_logit_error=0.0),
        "utility": Utility(correct=True),
        "guarantee": [CLAIM],
        "rewards": [RewardSplit(scheme="equal", shares={"layers-0": 1.0})],
    }
    return Result(**{**fields, **changed})


def failed(variant: str = "split", prompt_id: str = "p1", kind: str = "party-lost", **error: Any) -> Result:
    told: dict[str, Any] = {"message": "ended by signal 9", "party": "layers-0", "hint": "see its log", **error}
    return result(
        variant,
        prompt_id,
        status="failed",
        error=Failure(kind=kind, **told),  # type: ignore[arg-type]
        answer=None,
        fidelity=Fidelity(reason="there is no whole answer to compare"),
        utility=Utility(correct=False),
    )


def record(run_id: str = "20260101-000000-aaaaaa", **changed: Any) -> Record:
    """A whole record of two prompts and two variants, one result failed, but for what is `changed`."""
    fields: dict[str, Any] = {
        "run_id": run_id,
        "started": "2026-01-01T00:00:00.000+00:00",
        "profile": "demo",
        "status": "complete",
        "versions": {"unfed": "0.1.0", "torch": "2.13.0"},
        "model": ModelInfo(name="demo/model", layers=4, hidden=128, vocab=2048, family="llama", parameters=1_115_264),
        "settings": {"max_new_tokens": 16, "temperature": 0.0},
        "prompts": [Prompt(id="p1", prompt="a dog that herds", label="animal"), Prompt(id="p2", prompt="a big town")],
        "parties": [
            PartyInfo(
                backend="split", variant="split", name="layers-0", pid=4242, trusted=False, rss_bytes=1, cpu_seconds=0.5
            )
        ],
        "results": [
            result("plain", "p1"),
            result(
                "split",
                "p1",
                audit=[AuditEntry(party="layers-0", reason="no attack available")],
                notes=[NoteInfo(kind="retry", text="asked another replica", party="layers-0", at=0.2)],
            ),
            result("plain", "p2", utility=Utility()),
            failed("split", "p2"),
        ],
        "news": [
            News(variant="split", kind="check", party="layers-0", text="as stated", at="2026-01-01T00:00:01.000+00:00")
        ],
    }
    return Record(**{**fields, **changed})
