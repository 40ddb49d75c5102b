"""The store's tables: their columns, and the rows that a record becomes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec

from .record import Record, Result

RUNS = {
    "run_id": "TEXT PRIMARY KEY",
    "started": "TEXT NOT NULL",
    "profile": "TEXT",
    "status": "TEXT NOT NULL",
    "model": "TEXT",
    "variants": "TEXT NOT NULL",  # JSON list of ids
    "prompts": "INTEGER NOT NULL",
    "ok": "INTEGER NOT NULL",
    "failed": "INTEGER NOT NULL",  # cancelled ones included
    "concurrency": "INTEGER NOT NULL",
    "links": "TEXT",
    "seed": "INTEGER NOT NULL",
    "unfed": "TEXT",
    "record": "TEXT NOT NULL",  # the whole record as JSON
}

RESULTS = {
    "run_id": "TEXT NOT NULL REFERENCES runs (run_id)",
    "position": "INTEGER NOT NULL",
    "prompt_id": "TEXT NOT NULL",
    "backend": "TEXT NOT NULL",
    "variant": "TEXT NOT NULL",
    "options": "TEXT NOT NULL",
    "mode": "TEXT NOT NULL",
    "status": "TEXT NOT NULL",
    "error_kind": "TEXT",
    "tokens": "INTEGER",
    "setup_seconds": "REAL NOT NULL",
    "offline_seconds": "REAL NOT NULL",
    "first_token_seconds": "REAL NOT NULL",
    "total_seconds": "REAL NOT NULL",
    "per_token_seconds": "REAL NOT NULL",
    "bytes": "INTEGER NOT NULL",
    "messages": "INTEGER NOT NULL",
    "rounds": "INTEGER NOT NULL",
    "token_agreement": "REAL",
    "mean_kl": "REAL",
    "max_logit_error": "REAL",
    "correct": "INTEGER",
}


class Summary(msgspec.Struct, kw_only=True):
    """A stored run as a list shows it."""

    run_id: str
    started: str
    profile: str | None
    status: str
    model: str | None
    variants: list[str]
    prompts: int
    ok: int
    failed: int
    concurrency: int
    links: str | None
    seed: int
    unfed: str | None

    @classmethod
    def read(cls, row: sqlite3.Row) -> Summary:
        values = dict(row)
        values["variants"] = msgspec.json.decode(values["variants"])
        return cls(**values)


def create(database: sqlite3.Connection) -> None:
    """The layout of version 1."""
    for table, columns, more in (("runs", RUNS, ""), ("results", RESULTS, ", PRIMARY KEY (run_id, position)")):
        listed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        database.execute(f"CREATE TABLE {table} ({listed}{more})")
    database.execute("CREATE INDEX runs_started ON runs (started)")
    database.execute("CREATE INDEX results_variant ON results (backend, variant)")


def run_row(record: Record) -> tuple[Any, ...]:
    """The record as a row of `runs`, in the order of `RUNS`."""
    ok = sum(result.status == "ok" for result in record.results)
    return (
        record.run_id,
        record.started,
        record.profile,
        record.status,
        record.model.name if record.model else None,
        _json(list(dict.fromkeys(result.variant for result in record.results))),
        len(record.prompts),
        ok,
        len(record.results) - ok,
        record.concurrency,
        record.links,
        record.seed,
        record.versions.get("unfed"),
        _json(record),
    )


def result_rows(record: Record) -> Iterator[tuple[Any, ...]]:
    """The record's results as rows of `results`, in the order of `RESULTS`."""
    for position, result in enumerate(record.results):
        yield (record.run_id, position, *_result(result))


def _result(result: Result) -> tuple[Any, ...]:
    seconds, traffic, fidelity = result.seconds, result.traffic, result.fidelity
    return (
        result.prompt_id,
        result.backend,
        result.variant,
        _json(result.options),
        result.mode,
        result.status,
        result.error.kind if result.error else None,
        len(result.answer.token_ids) if result.answer else None,
        seconds.setup,
        seconds.offline,
        seconds.first_token,
        seconds.total,
        seconds.per_token,
        traffic.bytes,
        traffic.messages,
        traffic.rounds,
        fidelity.token_agreement,
        fidelity.mean_kl,
        fidelity.max_logit_error,
        result.utility.correct,
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
