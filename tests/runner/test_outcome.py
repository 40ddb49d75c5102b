"""What a record keeps of a query's events."""

from __future__ import annotations

from unfed.console.results.record import Result
from unfed.console.runner.outcome import heard
from unfed.plugins import Note, Query, Route


def test_a_record_keeps_notes_and_no_way() -> None:
    result, nothing = (Result(backend="unfed", variant="unfed", prompt_id="p1") for _ in range(2))
    heard(result, Query(id="q"), [], Route(steps=(("guard",), ("entry-0", "entry-1")), seconds=0.5))
    assert result == nothing
    heard(result, Query(id="q"), [], Note(kind="retry", text="lost", party="guard"))
    assert [note.kind for note in result.notes] == ["retry"]
