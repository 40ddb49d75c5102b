"""The schema that ships states exactly what records are."""

from __future__ import annotations

import json
import typing

import msgspec
import pytest
from records import record, result

from unfed.console.results import record as module
from unfed.console.results.check import faults, schema
from unfed.plugins import Claim, Failure, LinkCount

DESIGN = json.loads("""
{"schema": "unfed.run/1", "run_id": "r", "started": "2026-01-01", "profile": "demo", "seed": 0, "concurrency": 1,
 "versions": {"unfed": "0", "torch": "2"},
 "model": {"name": "m", "layers": 4, "hidden": 128, "vocab": 2048},
 "prompts": [{"id": "p1", "prompt": "x", "label": "animal"}],
 "parties": [{"backend": "split", "variant": "split", "name": "layers-0", "pid": 4242, "trusted": false,
   "rss_bytes": 0, "cpu_seconds": 0.0}],
 "results": [{"backend": "split", "variant": "split", "prompt_id": "p1", "mode": "real", "options": {}, "status": "ok",
   "error": null, "answer": {"text": "x", "token_ids": [1, 2]},
   "seconds": {"setup": 0.0, "offline": 0.0, "first_token": 0.0, "total": 0.0, "per_token": 0.0,
     "phases": {"keygen": 0.0}},
   "traffic": {"messages": 0, "bytes": 0, "rounds": 0,
     "links": [{"from": "client", "to": "layers-0", "messages": 0, "bytes": 0}]},
   "fidelity": {"reference": "plain", "token_agreement": 1.0, "mean_kl": 0.0, "max_logit_error": 0.0},
   "utility": {"correct": true},
   "guarantee": [{"asset": "prompt", "property": "confidentiality", "against": ["layers-0"], "basis": "none",
     "parameters": {}, "assumes": [], "reveals": ["activations"]}],
   "audit": [{"party": "layers-0", "attack": "nearest-embedding", "token_recovery": 0.97, "recovered": "x"}],
   "rewards": [{"scheme": "equal", "shares": {"layers-0": 0.5}}]}]}
""")
"""The document that the design fixes, key by key."""


def test_design_document_is_valid() -> None:
    assert faults(DESIGN) == []


def test_our_record_is_valid_before_and_after_json() -> None:
    whole = record()
    assert faults(whole) == []
    assert faults(json.loads(module.to_json(whole))) == []
    assert module.from_json(module.to_json(whole)) == whole


def test_schema_itself_is_valid() -> None:
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(schema())
    assert schema()["$schema"].endswith("2020-12/schema")


def paths(document: object, above: tuple[object, ...] = ()) -> typing.Iterator[tuple[object, ...]]:
    if isinstance(document, dict):
        for key, value in document.items():
            yield (*above, key)
            yield from paths(value, (*above, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from paths(value, (*above, index))


OPEN = {"versions", "options", "phases", "parameters", "shares"}


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in paths(DESIGN)
        if not OPEN & set(path[:-1]) and path[-1] not in ("label", "token_recovery", "recovered")
    ],
    ids=lambda path: "/".join(map(str, path)),
)
def test_every_fixed_key_is_required(path: tuple[typing.Any, ...]) -> None:
    document = json.loads(json.dumps(DESIGN))
    place = document
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    assert faults(document)


def test_further_keys_are_allowed_anywhere() -> None:
    document = json.loads(json.dumps(DESIGN))
    document["more"] = document["results"][0]["more"] = document["results"][0]["seconds"]["more"] = 1
    assert faults(document) == []


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda d: d.update(schema="unfed.run/2"), "schema"),
        (lambda d: d["results"][0].update(status="fine"), "results/0/status"),
        (lambda d: d["results"][0].update(answer=None), "results/0/answer"),
        (lambda d: d["results"][0].update(status="failed"), "results/0/error"),
        (lambda d: d["results"][0]["guarantee"][0].update(basis="magic"), "results/0/guarantee/0/basis"),
        (lambda d: d["results"][0]["traffic"].update(bytes=-1), "results/0/traffic/bytes"),
        (lambda d: d["results"][0].update(prompt_id="other"), "results/0"),
        (lambda d: d["results"].append(d["results"][0]), "results/1"),
        (lambda d: d["prompts"].append(d["prompts"][0]), "prompts"),
    ],
)
def test_faults_are_found_and_named(change: typing.Callable[[typing.Any], object], where: str) -> None:
    document = json.loads(json.dumps(DESIGN))
    change(document)
    assert any(fault.startswith(where) for fault in faults(document)), faults(document)


def test_results_out_of_prompt_order_are_found() -> None:
    whole = record(results=[result("plain", "p2"), result("plain", "p1")])
    assert faults(whole) == ["results/1: out of prompt order, or a second result of plain"]


STRUCTS = {
    "model": module.ModelInfo,
    "prompt": module.Prompt,
    "party": module.PartyInfo,
    "error": Failure,
    "answer": module.AnswerInfo,
    "seconds": module.Seconds,
    "traffic": module.Traffic,
    "fidelity": module.Fidelity,
    "utility": module.Utility,
    "claim": Claim,
    "audit": module.AuditEntry,
    "view": module.ViewInfo,
    "split": module.RewardSplit,
    "result": module.Result,
    "note": module.NoteInfo,
    "news": module.News,
}


@pytest.mark.parametrize("name", [*STRUCTS, "record", "link"])
def test_schema_states_every_field_and_no_other(name: str) -> None:
    whole = schema()
    if name == "record":
        stated, struct = whole, module.Record
    elif name == "link":
        stated, struct = whole["$defs"]["traffic"]["properties"]["links"]["items"], LinkCount
    else:
        stated, struct = whole["$defs"][name], STRUCTS[name]
    fields = {field.encode_name for field in msgspec.structs.fields(struct)}
    assert set(stated["properties"]) == fields
    assert set(stated["required"]) <= fields


def test_kinds_and_bases_are_those_of_the_contract() -> None:
    from unfed.plugins import errors, guarantee

    definitions = schema()["$defs"]
    assert definitions["error"]["properties"]["kind"]["enum"] == list(typing.get_args(errors.Kind))
    assert definitions["claim"]["properties"]["basis"]["enum"] == list(typing.get_args(guarantee.Basis))
    assert definitions["claim"]["properties"]["property"]["enum"] == list(typing.get_args(guarantee.Property))
