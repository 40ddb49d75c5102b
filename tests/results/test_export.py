"""Exports say what the record says."""

from __future__ import annotations

import csv
import io
import json

import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import record, result

from unfed.console.results.export import COLUMNS, format_of, rows, write
from unfed.console.results.record import AnswerInfo, Prompt, Record, from_json
from unfed.plugins import UnfedError


def read_csv(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def answering(text: str) -> Record:
    return record(prompts=[Prompt(id="p1", prompt=text)], results=[result(answer=AnswerInfo(text=text, token_ids=[1]))])


def test_json_is_the_record_and_several_are_a_list() -> None:
    assert from_json(write([record()], "json")) == record()
    both = json.loads(write([record("a"), record("b")], "json"))
    assert [each["run_id"] for each in both] == ["a", "b"]


def test_every_row_has_every_column_in_order() -> None:
    made = list(rows([record(), record("other")]))
    assert len(made) == 8
    assert all(set(row) == set(COLUMNS) for row in made)
    for row in made:
        for name, value in row.items():
            assert value is None or isinstance(value, COLUMNS[name][0]), name


def test_csv_says_what_the_record_says() -> None:
    found = read_csv(write([record()], "csv"))
    assert list(found[0]) == list(COLUMNS)
    first, last = found[0], found[-1]
    assert (first["prompt"], first["label"], first["answer"], first["correct"]) == (
        "a dog that herds", "animal", "animal: collie", "true",
    )  # fmt: skip
    assert json.loads(first["token_ids"]) == [5, 7, 0] and first["tokens"] == "3"
    assert (first["bytes"], first["rounds"], first["badge"]) == ("900", "2", "prompt: exposed")
    assert (last["status"], last["error_party"], last["answer"], last["token_agreement"]) == (
        "failed",
        "layers-0",
        "",
        "",
    )


def test_parquet_says_what_the_record_says() -> None:
    table = pyarrow.parquet.read_table(io.BytesIO(write([record(), record("b")], "parquet")))
    assert table.column_names == list(COLUMNS)
    assert table.to_pylist() == list(rows([record(), record("b")]))
    types = {name: str(table.schema.field(name).type) for name in ("bytes", "total_seconds", "correct", "answer")}
    assert types == {"bytes": "int64", "total_seconds": "double", "correct": "bool", "answer": "string"}


def test_runs_without_results_export_too() -> None:
    empty = record(results=[])
    assert read_csv(write([empty], "csv")) == []
    assert pyarrow.parquet.read_table(io.BytesIO(write([empty], "parquet"))).num_rows == 0


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "＠x"])
def test_formulas_are_defused(text: str) -> None:
    (row,) = read_csv(write([answering(text)], "csv"))
    assert row["answer"] == row["prompt"] == f"'{text}"


def test_numbers_are_never_defused() -> None:
    found = read_csv(write([record(results=[result(metrics={}, seconds=record().results[0].seconds)], seed=-0)], "csv"))
    assert found[0]["total_seconds"] == "0.3"


@given(st.text(max_size=60))
def test_any_text_survives_csv_but_for_its_guard(text: str) -> None:
    if "\0" in text or any("\ud800" <= each <= "\udfff" for each in text):
        return
    (row,) = read_csv(write([answering(text)], "csv"))
    assert row["answer"].removeprefix("'") == text.removeprefix("'")
    assert not row["answer"].startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


def test_format_by_ending() -> None:
    assert [format_of(f"x.{end}") for end in ("json", "CSV", "parquet")] == ["json", "csv", "parquet"]
    for path in ("x", "x.txt", "-", "csv"):
        with pytest.raises(UnfedError, match="cannot tell the format"):
            format_of(path)


def test_columns_are_documented() -> None:
    assert all(about for _, about in COLUMNS.values())
