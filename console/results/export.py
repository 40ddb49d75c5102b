"""Writes records as JSON, CSV or Parquet; the last two have one row a result and the columns of `COLUMNS`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from unfed.plugins import Failure, UnfedError, badge

from .record import Record, Result, to_json

Format = Literal["json", "csv", "parquet"]
FORMATS: tuple[Format, ...] = ("json", "csv", "parquet")

COLUMNS: dict[str, tuple[type, str]] = {
    "run_id": (str, "the run"),
    "started": (str, "when the run began, ISO 8601"),
    "run_status": (str, "complete or interrupted"),
    "profile": (str, "the run's profile"),
    "links": (str, "link profile; empty: loopback as it is"),
    "concurrency": (int, "queries in flight at once"),
    "seed": (int, "seed of the sampling"),
    "model": (str, "name of the model in the slot `model`"),
    "backend": (str, "the technique"),
    "variant": (str, "backend and swept options"),
    "options": (str, "options as JSON"),
    "mode": (str, "real or simulated"),
    "prompt_id": (str, "the prompt's id"),
    "prompt": (str, "the prompt as its author wrote it, or where its image lay"),
    "label": (str, "the right answer, where there is one"),
    "status": (str, "ok, failed or cancelled"),
    "error_kind": (str, "why it failed, as one word"),
    "error_party": (str, "the party it failed at"),
    "error_message": (str, "why it failed"),
    "error_hint": (str, "what to do about it"),
    "answer": (str, "the text that was generated"),
    "token_ids": (str, "what was generated, an end token included, as JSON"),
    "tokens": (int, "how many tokens that is"),
    "stopped": (str, "end, length or context"),
    "scores": (str, "of an image: the logit of each class, as JSON"),
    "setup_seconds": (float, "start of the fleet"),
    "ahead_seconds": (float, "correlated randomness made before the query was asked"),
    "offline_seconds": (float, "correlated randomness and waiting for it"),
    "first_token_seconds": (float, "online, to the first token"),
    "total_seconds": (float, "online, to the whole answer"),
    "per_token_seconds": (float, "(total - first_token) / (tokens - 1)"),
    "phases": (str, "seconds by phase, as JSON"),
    "messages": (int, "messages on all links"),
    "bytes": (int, "bytes on all links, TLS overhead excluded"),
    "rounds": (int, "longest chain of messages each sent after the one before it arrived"),
    "traffic_links": (str, "messages and bytes by link, as JSON"),
    "reference": (str, "what fidelity compares with"),
    "token_agreement": (float, "fraction of positions with the reference's token"),
    "mean_kl": (float, "KL(reference ‖ answer) in nats, mean over steps"),
    "max_logit_error": (float, "largest difference of two logits"),
    "margin": (float, "how far the first differing token lay below the reference's, in its logits"),
    "fidelity_reason": (str, "why a fidelity figure is missing"),
    "correct": (bool, "whether the answer's first word is the label"),
    "badge": (str, "the guarantee on the prompt in short"),
    "guarantee": (str, "claims as JSON"),
    "audit": (str, "attacks on recorded views, as JSON"),
    "rewards": (str, "shares by scheme, as JSON"),
    "metrics": (str, "further figures of the backend, as JSON"),
    "notes": (str, "what happened on the way, such as retries, as JSON"),
}
"""Column → type and meaning. A value that is missing is empty in CSV and null in Parquet."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a spreadsheet takes for the start of a formula, full-width forms included."""


def write(records: Sequence[Record], kind: Format) -> bytes:
    """`records` in one file. JSON holds one record as itself and several as a list."""
    if kind == "csv":
        return _csv(records)
    if kind == "parquet":
        return _parquet(records)
    if len(records) == 1:
        return to_json(records[0])
    return msgspec.json.format(msgspec.json.encode(list(records)), indent=1) + b"\n"


def format_of(path: str, otherwise: str = "") -> Format:
    """The format that a file's ending asks for.

    Args:
        otherwise: ends the hint: what else the caller takes.
    Raises:
        UnfedError: the ending says nothing we write.
    """
    for kind in FORMATS:
        if Path(path).suffix.lower() == f".{kind}":
            return kind
    raise UnfedError(f"cannot tell the format of {path}", hint=f"end its name in .json, .csv or .parquet{otherwise}")


def rows(records: Iterable[Record]) -> Iterator[dict[str, Any]]:
    """One row a result, with every column of `COLUMNS`; None where a value is missing."""
    for record in records:
        prompts = {prompt.id: prompt for prompt in record.prompts}
        for result in record.results:
            prompt = prompts.get(result.prompt_id)
            yield {
                "run_id": record.run_id,
                "started": record.started,
                "run_status": record.status,
                "profile": record.profile,
                "links": record.links,
                "concurrency": record.concurrency,
                "seed": record.seed,
                "model": record.model.name if record.model else None,
                "prompt": prompt.shown if prompt else None,
                "label": prompt.label if prompt else None,
                **_result(result),
            }


def _result(result: Result) -> dict[str, Any]:
    answer, error, seconds = result.answer, result.error, result.seconds
    return {
        "backend": result.backend,
        "variant": result.variant,
        "options": _json(result.options),
        "mode": result.mode,
        "prompt_id": result.prompt_id,
        "status": result.status,
        **_error(error),
        "answer": answer.text if answer else None,
        "token_ids": _json(answer.token_ids) if answer else None,
        "tokens": len(answer.token_ids) if answer else None,
        "stopped": answer.stopped if answer else None,
        "scores": _json(answer.scores) if answer else None,
        "setup_seconds": seconds.setup,
        "ahead_seconds": seconds.ahead,
        "offline_seconds": seconds.offline,
        "first_token_seconds": seconds.first_token,
        "total_seconds": seconds.total,
        "per_token_seconds": seconds.per_token,
        "phases": _json(seconds.phases),
        "messages": result.traffic.messages,
        "bytes": result.traffic.bytes,
        "rounds": result.traffic.rounds,
        "traffic_links": _json(result.traffic.links),
        "reference": result.fidelity.reference,
        "token_agreement": result.fidelity.token_agreement,
        "mean_kl": result.fidelity.mean_kl,
        "max_logit_error": result.fidelity.max_logit_error,
        "margin": result.fidelity.margin,
        "fidelity_reason": result.fidelity.reason,
        "correct": result.utility.correct,
        "badge": badge(result.guarantee) if result.guarantee else None,
        "guarantee": _json(result.guarantee),
        "audit": _json(result.audit),
        "rewards": _json(result.rewards),
        "metrics": _json(result.metrics),
        "notes": _json(result.notes),
    }


def _error(error: Failure | None) -> dict[str, Any]:
    return {f"error_{key}": getattr(error, key, None) for key in ("kind", "party", "message", "hint")}


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _csv(records: Sequence[Record]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")  # RFC 4180; it also has both quoted within a cell
    writer.writerow(COLUMNS)
    for row in rows(records):
        writer.writerow([_cell(row[column]) for column in COLUMNS])
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    """A cell for CSV. Text that a spreadsheet would run as a formula gets an apostrophe before it; numbers never do."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        value = value.replace("\0", "�")  # readers of CSV stop at a NUL
        return f"'{value}" if value.startswith(_FORMULA) else value
    return "" if value is None else value


def _parquet(records: Sequence[Record]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    types = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    schema = pyarrow.schema([(name, types[kind]) for name, (kind, _) in COLUMNS.items()])
    table = pyarrow.Table.from_pylist(list(rows(records)), schema=schema)
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink)
    data: bytes = sink.getvalue().to_pybytes()
    return data
