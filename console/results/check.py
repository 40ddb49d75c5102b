"""Checks a record against `record.schema.json`, which ships with the package."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import msgspec

from .record import Record


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of `unfed.run/1`."""
    text = resources.files(__package__).joinpath("record.schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def faults(record: Record | dict[str, Any]) -> list[str]:
    """What is wrong with a record, a line each with where it stands; empty when it is valid.

    Besides the schema: results stand in prompt order within a variant and name prompts of the run, and ids are unique.
    """
    from jsonschema import Draft202012Validator

    document = msgspec.json.decode(msgspec.json.encode(record)) if isinstance(record, Record) else record
    found = [
        f"{'/'.join(str(part) for part in error.absolute_path) or 'record'}: {error.message}"
        for error in sorted(Draft202012Validator(schema()).iter_errors(document), key=lambda error: error.json_path)
    ]
    return found or _inconsistencies(document)


def _inconsistencies(document: dict[str, Any]) -> list[str]:
    places = {prompt["id"]: place for place, prompt in enumerate(document["prompts"])}
    found = []
    if len(places) < len(document["prompts"]):
        found.append("prompts: an id stands twice")
    last: dict[str, int] = {}
    for index, result in enumerate(document["results"]):
        place = places.get(result["prompt_id"])
        if place is None:
            found.append(f"results/{index}: prompt_id {result['prompt_id']!r} is no prompt of this run")
        elif place <= last.get(result["variant"], -1):
            found.append(f"results/{index}: out of prompt order, or a second result of {result['variant']}")
        else:
            last[result["variant"]] = place
    return found
