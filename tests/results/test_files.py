"""A file is written whole or not at all."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from unfed.console.results.files import check_output, write_output
from unfed.plugins import UnfedError


def test_checking_leaves_nothing_behind(tmp_path: Path) -> None:
    check_output(str(tmp_path / "new.json"))
    check_output("-")
    (tmp_path / "old.json").write_text("old")
    check_output(str(tmp_path / "old.json"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.json"]
    assert (tmp_path / "old.json").read_text() == "old"


@pytest.mark.parametrize("name", ["none/out.json", "file/out.json", ".", "nul\0"])
def test_outputs_that_cannot_be_are_found_beforehand(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    for act in (check_output, lambda path: write_output(path, b"x")):
        with pytest.raises(UnfedError, match="cannot write"):
            act(str(tmp_path / name))


def test_writing_replaces_and_keeps_mode_and_link(tmp_path: Path) -> None:
    target, link = tmp_path / "out.json", tmp_path / "link.json"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    write_output(str(link), b"new")
    assert link.is_symlink() and target.read_bytes() == b"new" and target.stat().st_mode & 0o777 == 0o640
    assert len(list(tmp_path.iterdir())) == 2


def test_new_file_follows_the_mask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_output(str(tmp_path / "out"), b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o640


def test_full_device_is_an_error_and_no_traceback() -> None:
    check_output("/dev/full")
    with pytest.raises(UnfedError, match="cannot write /dev/full: No space left on device"):
        write_output("/dev/full", b"x")


def test_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    check_output(str(pipe))
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_output(str(pipe), b"data")
    reader.join(10)
    assert got == [b"data"] and pipe.is_fifo()
