"""What the parts count and see, apart from running them."""

import os
import sys

import pytest
from bench.part_decode import per_second
from bench.screen import ROWS, Screen, first_paint
from hypothesis import given
from hypothesis import strategies as st


def test_tokens_per_second_leave_the_first_out():
    assert per_second([5.0, 5.5, 6.0, 6.5]) == 2.0
    with pytest.raises(ValueError, match="too short"):
        per_second([1.0, 2.0])


def frame(rows):
    return b"".join(f"\x1b[{row};1H\x1b[1;38;5;188m row {row}\x1b[0m".encode() for row in rows)


def test_a_frame_needs_its_first_and_last_row():
    screen = Screen()
    screen.feed(b"\x1b[?1049h\x1b]0;a title\x07\x1b[?25l\x1b[2J" + frame(range(2, ROWS)))
    assert screen.rows == set(range(2, ROWS))
    assert not screen.framed()
    screen.feed(frame([1, ROWS]))
    assert screen.framed()
    screen.feed(b"\x1b[2J")
    assert not screen.rows


def test_blanks_draw_nothing_and_lines_count():
    screen = Screen()
    screen.feed(b"\x1b[3;1H     \r\n\r\nwords\r\n")
    assert screen.rows == {5}


@given(st.lists(st.integers(1, 500), max_size=20))
def test_where_the_bytes_are_cut_changes_nothing(cuts):
    data = b"\x1b]22;default\x07\x1b[?2026h" + "\x1b[1;64H\x1b[48;5;17m ünfed \x1b[0m\r\n".encode() + frame(range(3, 9))
    whole, pieces = Screen(), Screen()
    whole.feed(data)
    last = 0
    for cut in [*sorted(cut for cut in cuts if cut < len(data)), len(data)]:
        pieces.feed(data[last:cut])
        last = cut
    assert pieces.rows == whole.rows == {1, 3, 4, 5, 6, 7, 8}


async def test_first_paint_sees_a_real_program_draw():
    code = f"import sys, time; print({frame(range(1, ROWS + 1)).decode()!r}, flush=True); time.sleep(60)"
    assert 0 < await first_paint([sys.executable, "-c", code], os.environ) < 30


async def test_a_program_that_ends_without_drawing_is_an_error():
    with pytest.raises(RuntimeError, match="without drawing"):
        await first_paint([sys.executable, "-c", "print('hello')"], os.environ)
