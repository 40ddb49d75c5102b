"""The store of records: one SQLite file in WAL mode, safe for several consoles at once.

Table `runs` holds each record whole, as JSON, and columns to list it by; table `results` one row a result, for
questions across runs. `PRAGMA user_version` is the layout's version.
"""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from unfed.plugins import UnfedError

from .paths import STATE, private_folder, state_folder
from .record import Record, from_json
from .tables import RESULTS, RUNS, Summary, create, result_rows, run_row

FILE = "runs.sqlite3"
VERSION = 1
PATIENCE = 10.0
"""Seconds to wait for another console that is writing."""

_MIGRATIONS = {0: create}
"""Layout version → what turns it into the next one, inside one transaction."""


class Store:
    """Records on disk. Every method opens the file anew and leaves it closed.

    Args:
        folder: where the file lies; the user's state folder by default. It is made when something is saved.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = (folder or state_folder()).absolute()
        self.file = self.folder / FILE

    def check(self) -> None:
        """See whether a record could be saved now, saving nothing.

        Raises:
            UnfedError: it could not, naming the folder and what to do.
        """
        with self._writing():
            pass

    def save(self, record: Record) -> None:
        """Store `record`, in place of an earlier one with its id. Either it is stored whole or nothing changes.

        Raises:
            UnfedError: the folder is full, read-only or no folder; earlier records are as they were.
        """
        with self._writing() as database:
            database.execute("DELETE FROM results WHERE run_id = ?", (record.run_id,))
            database.execute("DELETE FROM runs WHERE run_id = ?", (record.run_id,))
            database.execute(_insert("runs", RUNS), run_row(record))
            database.executemany(_insert("results", RESULTS), result_rows(record))

    def summaries(self, limit: int | None = None) -> list[Summary]:
        """What is stored, the latest first."""
        columns = ", ".join(name for name in RUNS if name != "record")
        query = f"SELECT {columns} FROM runs ORDER BY started DESC, run_id DESC LIMIT ?"
        with self._reading() as database:
            rows = database.execute(query, (-1 if limit is None else limit,)).fetchall() if database else []
        return [Summary.read(row) for row in rows]

    def count(self) -> int:
        """How many runs are stored."""
        with self._reading() as database:
            return int(database.execute("SELECT count(*) FROM runs").fetchone()[0]) if database else 0

    def load(self, wanted: str) -> Record:
        """The record with this id, with the one id that begins so, or the latest for `last`.

        Raises:
            UnfedError: there is none, or there are several.
        """
        with self._reading() as database:
            found = self._find(database, wanted) if database else []
        if not found:
            hint = "unfed-console runs list shows them" if wanted != "last" else "unfed-console compare makes one"
            raise UnfedError(
                f"there is no stored run {wanted!r}" if wanted != "last" else "no run is stored yet", hint=hint
            )
        if len(found) > 1:
            raise UnfedError(f"several stored runs begin with {wanted!r}", hint="give more of the id")
        try:
            return from_json(found[0].encode())
        except msgspec.DecodeError as error:
            raise UnfedError(f"the stored run {wanted!r} cannot be read: {error}", kind="internal") from error

    @staticmethod
    def _find(database: sqlite3.Connection, wanted: str) -> list[str]:
        """The JSON of at most two records that `wanted` may mean."""
        values: tuple[object, ...] = ()
        if wanted == "last":
            query = "SELECT record FROM runs ORDER BY started DESC, run_id DESC LIMIT 1"
        else:
            exact = database.execute("SELECT record FROM runs WHERE run_id = ?", (wanted,)).fetchall()
            if exact or not wanted:
                return [row["record"] for row in exact]
            query = "SELECT record FROM runs WHERE substr(run_id, 1, ?) = ? LIMIT 2"
            values = (len(wanted), wanted)
        return [row["record"] for row in database.execute(query, values)]

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A connection inside one transaction that is committed at the end."""
        private_folder(self.folder)
        try:
            self.file.touch(mode=0o600)
        except OSError as error:
            raise self._refused(error) from error
        try:
            with closing(self._open(f"{self.file.as_uri()}?mode=rw")) as database:
                if database.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
                    raise self._refused("its file system does not support SQLite's write-ahead log")
                database.execute("PRAGMA synchronous = FULL")
                database.execute("BEGIN IMMEDIATE")
                try:
                    self._migrate(database)
                    yield database
                    database.execute("COMMIT")
                except BaseException:
                    if database.in_transaction:  # a full disk has rolled back already
                        database.execute("ROLLBACK")
                    raise
        except sqlite3.Error as error:
            raise self._refused(error) from error

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """A connection that changes nothing, or None where nothing is stored. Works in a read-only folder too."""
        try:
            mode = self.file.stat().st_mode
        except FileNotFoundError:
            mode = None
        except OSError as error:
            raise self._refused(error) from error
        if mode is not None and not stat.S_ISREG(mode):
            raise self._refused(f"{FILE} is no regular file")
        if mode is None:
            yield None
            return
        try:
            with closing(self._open_to_read()) as database:
                version = database.execute("PRAGMA user_version").fetchone()[0]
                self._check_version(version)
                yield database if version else None
        except sqlite3.Error as error:
            raise self._refused(error) from error

    def _open_to_read(self) -> sqlite3.Connection:
        """SQLite wants to write beside a WAL file even to read it; where it may not, the file stands still anyway."""
        database = self._open(f"{self.file.as_uri()}?mode=ro")
        try:
            database.execute("SELECT 1 FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            database.close()
            wal = self.file.with_name(f"{FILE}-wal")
            if wal.exists() and wal.stat().st_size:
                raise
            database = self._open(f"{self.file.as_uri()}?mode=ro&immutable=1")
        return database

    def _open(self, uri: str) -> sqlite3.Connection:
        database = sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None)
        database.row_factory = sqlite3.Row
        return database

    def _migrate(self, database: sqlite3.Connection) -> None:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        self._check_version(version)
        for step in range(version, VERSION):
            _MIGRATIONS[step](database)
        if version != VERSION:
            database.execute(f"PRAGMA user_version = {VERSION}")

    def _check_version(self, version: int) -> None:
        if version > VERSION:
            raise UnfedError(
                f"{self.file} was written by a newer unfed-console (layout {version}, this one knows {VERSION})",
                kind="unavailable",
                hint=f"update unfed-console, or set {STATE} to another folder",
            )

    def _refused(self, error: OSError | sqlite3.Error | str) -> UnfedError:
        """SQLite's reason in words, naming the folder."""
        why = error if isinstance(error, str) else getattr(error, "strerror", None) or str(error)
        hint = f"make room or mend its permissions, or set {STATE} to a folder that can be written"
        if any(each in why for each in ("not a database", "malformed", "no regular file")):
            hint = f"move {FILE} away to begin a new store"
        elif "locked" in why:
            hint = "another console is writing to it; try again"
        return UnfedError(f"the run store in {self.folder} cannot be used: {why}", kind="internal", hint=hint)


def _insert(table: str, columns: dict[str, str]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
