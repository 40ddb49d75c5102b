"""The store keeps what it was given, whatever happens to the disk or beside it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from records import record, result

from unfed.console.results import store as module
from unfed.console.results.paths import KEPT_RUNS, run_folder, state_folder
from unfed.console.results.store import Store
from unfed.plugins import UnfedError


def test_saved_record_comes_back_whole(tmp_path: Path) -> None:
    whole = record()
    Store(tmp_path).save(whole)
    assert Store(tmp_path).load(whole.run_id) == whole


def test_columns_say_what_the_record_says(tmp_path: Path) -> None:
    Store(tmp_path).save(record(links="wan", concurrency=2))
    (row,) = Store(tmp_path).summaries()
    assert (row.profile, row.status, row.model, row.prompts, row.ok, row.failed) == (
        "demo",
        "complete",
        "demo/model",
        2,
        3,
        1,
    )
    assert (row.variants, row.links, row.concurrency) == (["plain", "split"], "wan", 2)
    with contextlib.closing(sqlite3.connect(tmp_path / module.FILE)) as database:
        found = database.execute(
            "SELECT variant, prompt_id, status, error_kind, bytes, correct FROM results ORDER BY position"
        ).fetchall()
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("PRAGMA user_version").fetchone() == (module.VERSION,)
    assert found == [
        ("plain", "p1", "ok", None, 900, 1),
        ("split", "p1", "ok", None, 900, 1),
        ("plain", "p2", "ok", None, 900, None),
        ("split", "p2", "failed", "party-lost", 900, 0),
    ]


def test_saving_again_replaces(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save(record(status="interrupted"))
    store.save(record(results=[result()]))
    assert [(row.status, row.ok, row.failed) for row in store.summaries()] == [("complete", 1, 0)]


def test_latest_first_and_named_by_beginning(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for day, name in (("02", "bbb"), ("03", "abc"), ("01", "abd")):
        store.save(record(name, started=f"2026-01-{day}T00:00:00+00:00"))
    assert [row.run_id for row in store.summaries()] == ["abc", "bbb", "abd"]
    assert [row.run_id for row in store.summaries(limit=1)] == ["abc"]
    assert store.load("last").run_id == "abc"
    assert store.load("b").run_id == "bbb"
    with pytest.raises(UnfedError, match="several stored runs begin with 'ab'"):
        store.load("ab")
    for unknown in ("zzz", "", "%", "a_c"):
        with pytest.raises(UnfedError, match="there is no stored run"):
            store.load(unknown)


def test_nothing_stored_is_no_error_and_makes_no_file(tmp_path: Path) -> None:
    store = Store(tmp_path / "none")
    assert store.summaries() == []
    with pytest.raises(UnfedError, match="no run is stored yet"):
        store.load("last")
    assert not (tmp_path / "none").exists()


def test_file_is_closed_to_other_users(tmp_path: Path) -> None:
    Store(tmp_path / "state").save(record())
    assert (tmp_path / "state" / module.FILE).stat().st_mode & 0o077 == 0
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0


def _save_many(arguments: tuple[str, str, int]) -> int:
    folder, name, count = arguments
    for index in range(count):
        Store(Path(folder)).save(record(f"{name}-{index}"))
    return count


def test_consoles_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(4, mp_context=context) as pool:
        counts = list(pool.map(_save_many, [(str(tmp_path), name, 12) for name in "abcd"]))
    assert sum(counts) == len(Store(tmp_path).summaries()) == 48
    assert sqlite3.connect(tmp_path / module.FILE).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_reading_goes_on_while_another_console_writes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save(record("first"))
    with contextlib.closing(sqlite3.connect(tmp_path / module.FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM runs")
        assert store.load("first").run_id == "first"
        other.execute("ROLLBACK")


def test_a_writer_that_never_ends_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    store = Store(tmp_path)
    store.save(record("first"))
    with contextlib.closing(sqlite3.connect(tmp_path / module.FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnfedError, match="locked") as caught:
            store.save(record("second"))
    assert str(tmp_path) in str(caught.value) and "another console" in str(caught.value)
    assert [row.run_id for row in store.summaries()] == ["first"]


def test_full_disk_keeps_earlier_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's own limit on pages makes the same SQLITE_FULL as a disk without room."""
    store = Store(tmp_path)
    store.save(record("first"))
    opened = Store._open

    def small(self: Store, uri: str) -> sqlite3.Connection:
        database = opened(self, uri)
        database.execute(f"PRAGMA max_page_count = {database.execute('PRAGMA page_count').fetchone()[0]}")
        return database

    with monkeypatch.context() as patched:
        patched.setattr(Store, "_open", small)
        large = record("second", results=[result(prompt_id=f"p{n}") for n in range(500)])
        with pytest.raises(UnfedError, match="full") as caught:
            store.save(large)
    assert str(tmp_path) in str(caught.value) and "UNFED_STATE_DIR" in str(caught.value)
    assert [row.run_id for row in store.summaries()] == ["first"]
    assert store.load("first") == record("first")
    store.save(large)
    assert store.load("second") == large


@contextlib.contextmanager
def unprivileged() -> Iterator[Path]:
    """A folder of a user who is not root, and that user, so that permissions mean something."""
    folder = Path(tempfile.mkdtemp(prefix="unfed-test-"))
    root = os.geteuid() == 0
    if root:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o700)
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        folder.rmdir()


def test_read_only_folder_keeps_and_shows_earlier_records() -> None:
    with unprivileged() as folder:
        store = Store(folder)
        store.save(record("first"))
        folder.chmod(0o500)
        (folder / module.FILE).chmod(0o400)
        with pytest.raises(UnfedError) as caught:
            store.save(record("second"))
        assert str(folder) in str(caught.value) and "UNFED_STATE_DIR" in str(caught.value)
        with pytest.raises(UnfedError):
            store.check()
        assert [row.run_id for row in store.summaries()] == ["first"]
        assert store.load("last") == record("first")


def test_folder_that_cannot_be_made() -> None:
    with unprivileged() as folder:
        folder.chmod(0o500)
        with pytest.raises(UnfedError, match=r"cannot write to .*/inner: Permission denied"):
            Store(folder / "inner").save(record())


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnfedError, match="cannot write to"):
        Store(tmp_path / "file").check()
    with pytest.raises(UnfedError, match="cannot write to"):
        Store(tmp_path / "file" / "inner").save(record())


@pytest.mark.parametrize(
    "content", [b"this is no database, whatever its name says" * 50, b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_file_that_is_no_database_is_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / module.FILE).write_bytes(content)
    for act in (
        lambda: Store(tmp_path).save(record()),
        Store(tmp_path).summaries,
        lambda: Store(tmp_path).load("last"),
    ):
        with pytest.raises(UnfedError, match="cannot be used"):
            act()
    assert (tmp_path / module.FILE).read_bytes() == content


def test_newer_layout_is_refused(tmp_path: Path) -> None:
    Store(tmp_path).save(record())
    with contextlib.closing(sqlite3.connect(tmp_path / module.FILE)) as database:
        database.execute(f"PRAGMA user_version = {module.VERSION + 1}")
    for act in (lambda: Store(tmp_path).save(record("x")), Store(tmp_path).summaries):
        with pytest.raises(UnfedError, match="newer unfed-console"):
            act()


def test_killed_while_saving_leaves_the_store_whole(tmp_path: Path) -> None:
    Store(tmp_path).save(record("first"))
    pid = os.fork()
    if pid == 0:
        with Store(tmp_path)._writing() as database:
            database.execute("DELETE FROM results")
            database.execute("DELETE FROM runs")
            os._exit(0)  # as SIGKILL would: neither commit nor roll back
    os.waitpid(pid, 0)
    assert Store(tmp_path).load("first") == record("first")
    Store(tmp_path).save(record("second"))
    assert len(Store(tmp_path).summaries()) == 2


def test_state_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNFED_STATE_DIR", str(tmp_path / "here"))
    assert state_folder() == tmp_path / "here" == Store().folder
    monkeypatch.delenv("UNFED_STATE_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_folder() == tmp_path / "unfed-console"


def test_old_logs_are_forgotten_and_views_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNFED_STATE_DIR", str(tmp_path))
    (old_logs, in_use, recent), old_views = _left_folders("logs", 3), _left_folders("views", 1)[0]
    old = {"logs": old_logs, "views": old_views}
    for folder in (*old.values(), in_use):
        log = folder / "split.layers-0.log"
        log.write_text("")
        if folder != in_use:  # a fleet that started long ago still writes to its log
            os.utime(log, (0, 0))
        os.utime(folder, (0, 0))
    run_folder("logs")
    run_folder("views")
    assert not old["logs"].exists()
    assert old["views"].exists() and in_use.exists() and recent.exists()


def test_only_the_newest_logs_are_kept_and_those_of_consoles_that_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNFED_STATE_DIR", str(tmp_path))
    mine = run_folder("logs")
    left = _left_folders("logs", KEPT_RUNS + 5)
    for age, folder in enumerate((*reversed(left), mine)):
        os.utime(folder, (time.time() - 60 * age,) * 2)
    run_folder("logs")
    assert [folder for folder in left if not folder.exists()] == left[:5]
    assert mine.exists(), "it is the oldest, but its console lives"


def _left_folders(kind: str, count: int) -> list[Path]:
    """Folders of a console that has ended."""
    code = f"from unfed.console.results.paths import run_folder\nfor _ in range({count}): print(run_folder({kind!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [Path(line) for line in done.stdout.splitlines()]
