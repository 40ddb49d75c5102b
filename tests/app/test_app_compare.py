"""The Compare screen, driven by keys over a scripted session."""

from __future__ import annotations

import msgspec
from scripted_desk import drawn, make_app, ready, shown, until
from textual import events

from unfed.console.app.screens.confirm import Confirm
from unfed.console.app.screens.trouble import Trouble
from unfed.console.app.widgets.column_panel import ColumnPanel
from unfed.console.app.widgets.prompt_box import PromptBox
from unfed.plugins import Failure, UnfedError


async def test_a_prompt_streams_into_two_columns_and_is_scored(tmp_path):
    app = make_app(tmp_path, profile="demo")
    app.desk.scripted.holds = {"plain": 2, "split": 1}
    app.desk.scripted.starts = {}
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press(*"big cat", "enter")
        await until(pilot, lambda: len(app.board.columns["plain"].pieces) == 2)
        await drawn(pilot)
        text = shown(app)
        assert "animal:" in text and "african" not in text, "what is not there yet is not shown"
        assert "waiting its turn" in text, "one query in flight: split waits for plain"
        assert "asked big cat" in text
        assert app.screen.query_one(PromptBox).text == "", "the box is free for the next prompt"
        app.desk.scripted.release.set()
        await until(pilot, lambda: not app.board.running)
        await drawn(pilot)
        text = shown(app)
        assert text.count("animal: african elephant") == 2
        for figure in ("12.3 ms", "24.7 ms", "18.6 kB", "100%", "1.4e-06", "33%", "50%"):
            assert figure in text, figure
        assert "prompt exposed to server" in text and "prompt: obfuscated" in text
        await until(pilot, lambda: app.desk.records)
        assert app.desk.records[0].prompts[0].prompt == "big cat"
        assert app.desk.scripted.requests[0].race is False


async def test_race_mode_asks_all_at_once_and_says_so(tmp_path):
    app = make_app(tmp_path, profile="demo")
    app.desk.scripted.holds = {"plain": 1, "split": 1}
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        assert "sequential" in shown(app)
        await pilot.press("ctrl+r", *"cat", "enter")
        await until(pilot, lambda: all(len(column.pieces) == 1 for column in app.board.columns.values()))
        await drawn(pilot)
        assert "RACE" in shown(app) and "sequential" not in shown(app)
        await pilot.press("ctrl+r")
        assert app.choice.race, "the mode does not change within a run"
        app.desk.scripted.release.set()
        await until(pilot, lambda: app.desk.records)
        assert app.desk.records[0].concurrency == 2


async def test_one_column_is_cancelled_and_the_other_goes_on(tmp_path):
    app = make_app(tmp_path, profile="demo")
    app.desk.scripted.holds = {"plain": 1, "split": 1}
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press("ctrl+r", *"cat", "enter")
        await until(pilot, lambda: all(column.pieces for column in app.board.columns.values()))
        await drawn(pilot)
        await pilot.press("tab", "x")  # the first column
        await until(pilot, lambda: app.board.columns["plain"].stage == "cancelled")
        assert ("cancel", "plain") in app.desk.scripted.calls
        assert app.board.columns["split"].live
        app.desk.scripted.release.set()
        await until(pilot, lambda: not app.board.running)
        assert app.board.columns["split"].stage == "done"
        await drawn(pilot)
        assert "cancelled · 1 token" in shown(app)


async def test_escape_stops_everything_and_keeps_what_was_answered(tmp_path):
    app = make_app(tmp_path, profile="demo")
    app.desk.scripted.holds = {"plain": 1}
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press(*"cat", "enter")
        await until(pilot, lambda: app.board.columns["plain"].pieces)
        await pilot.press("escape")
        await until(pilot, lambda: not app.board.running)
        assert ("interrupt",) in app.desk.scripted.calls
        assert {column.stage for column in app.board.columns.values()} == {"cancelled"}
        await until(pilot, lambda: app.desk.records)
        assert app.desk.records[0].status == "interrupted"


async def test_ctrl_c_in_the_prompt_box_copies_what_is_selected_and_else_stops_the_run(tmp_path):
    app = make_app(tmp_path, profile="demo")
    app.desk.scripted.holds = {"plain": 1}
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press(*"cat", "enter")
        await until(pilot, lambda: app.board.columns["plain"].pieces)
        await pilot.press(*"next", "f7", "ctrl+c")  # f7 selects all
        assert app.clipboard == "next" and app.board.running
        await pilot.press("right", "ctrl+c")
        await until(pilot, lambda: not app.board.running)
        assert ("interrupt",) in app.desk.scripted.calls


async def test_a_lost_party_fails_its_column_with_name_and_hint(tmp_path):
    app = make_app(tmp_path, profile="demo")
    app.desk.scripted.holds = {"split": 2}
    app.desk.scripted.release.set()
    app.desk.scripted.faults = {
        "split": Failure(kind="party-lost", message="killed by signal 9", party="layers-1", hint="restart it on Fleet")
    }
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press(*"cat", "enter")
        await until(pilot, lambda: not app.board.running and app.desk.records)
        await drawn(pilot)
        text = shown(app)
        assert "layers-1: party lost" in text
        assert "killed by signal 9" in text
        assert "→ restart it on Fleet" in text
        assert app.board.columns["plain"].stage == "done"
        assert app.screen.query_one(".-failed", ColumnPanel).variant == "split"


async def test_a_fleet_that_does_not_start_is_said_in_its_column(tmp_path):
    app = make_app(tmp_path, profile="demo")
    app.desk.scripted.starts = {
        "split": Failure(kind="fleet", message="no port is free", party="layers-0", hint="wait")
    }
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press(*"cat", "enter")
        await until(pilot, lambda: not app.board.running)
        await drawn(pilot)
        assert "layers-0: fleet did not start" in shown(app)
        assert app.board.columns["plain"].stage == "done"


async def test_a_different_answer_is_marked_from_where_it_differs(tmp_path):
    app = make_app(tmp_path, profile="demo")
    app.desk.scripted.pieces = {"split": ((311, " animal"), (25, ":"), (7, " mouse"))}
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press(*"cat", "enter")
        await until(pilot, lambda: not app.board.running)
        assert app.board.difference(app.board.columns["split"]) == 2
        assert app.board.difference(app.board.columns["plain"]) is None


async def test_an_answer_full_of_markup_and_escapes_is_only_text(tmp_path):
    app = make_app(tmp_path, profile="demo")
    app.desk.scripted.pieces = {
        "split": ((1, "[red]not [/markup] "), (2, "\x1b]0;title\x07\x1b[2J"), (3, "[@click=app.quit]x[/]"))
    }
    async with app.run_test(size=(160, 40)) as pilot:
        await ready(pilot)
        await pilot.press(*"cat", "enter")
        await until(pilot, lambda: not app.board.running)
        await drawn(pilot)
        text = shown(app)
        assert "[red]not [/markup] ␛]0;title␇␛[2J[@click=app.quit]x[/]" in text
        assert "\x1b" not in text and "\x07" not in text


async def test_prompts_come_back_with_up_and_down(tmp_path):
    app = make_app(tmp_path, profile="demo")
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot)
        for prompt in ("one", "two"):
            await pilot.press(*prompt, "enter")
            await until(pilot, lambda: not app.board.running)
        box = app.screen.query_one(PromptBox)
        await pilot.press(*"draft", "up")
        assert box.text == "two"
        await pilot.press("up")
        assert box.text == "one"
        await pilot.press("down", "down")
        assert box.text == "draft"


async def test_a_prompt_may_have_lines_and_a_pasted_one_keeps_them(tmp_path):
    app = make_app(tmp_path, profile="demo")
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot)
        await pilot.press("a", "ctrl+n", "b", "enter")
        await until(pilot, lambda: app.desk.scripted.requests)
        assert app.desk.scripted.requests[0].prompts[0].prompt == "a\nb"


async def test_keys_that_come_in_a_burst_are_all_in_the_prompt(tmp_path):
    app = make_app(tmp_path, profile="demo")
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot)
        for key in ("c", "a", "ctrl+n", "t", "enter"):
            app.post_message(events.Key(key, key if len(key) == 1 else None))
        await until(pilot, lambda: app.desk.scripted.requests)
        assert app.desk.scripted.requests[0].prompts[0].prompt == "ca\nt"


async def test_what_cannot_be_asked_is_said_and_nothing_runs(tmp_path):
    app = make_app(tmp_path, profile="demo")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await ready(pilot)
        await pilot.press("space", "enter")
        await pilot.pause()
        assert "The prompt is empty" in shown(app)
        assert not app.board.running and not app.desk.scripted.requests


async def test_an_example_brings_its_label_along(tmp_path):
    app = make_app(tmp_path, profile="demo")
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press("ctrl+g", "enter")
        await until(pilot, lambda: not app.board.running and app.desk.records)
        assert app.desk.records[0].prompts[0].label == "animal"
        await drawn(pilot)
        assert "✓ animal" in shown(app)


async def test_a_plugins_error_becomes_a_dialog_that_can_be_copied(tmp_path):
    app = make_app(tmp_path, profile="demo")
    app.desk.refuses = ValueError("a [plugin] said no")
    async with app.run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await pilot.press(*"cat", "enter")
        await until(pilot, lambda: isinstance(app.screen, Trouble))
        await drawn(pilot)
        assert "ValueError: a [plugin] said no" in shown(app)
        await pilot.press("y")
        assert "Traceback" in app.clipboard and "a [plugin] said no" in app.clipboard
        await pilot.press("escape")
        assert not isinstance(app.screen, Trouble)
        assert not app.board.running


async def test_a_request_that_is_refused_says_what_and_what_next(tmp_path):
    app = make_app(tmp_path, profile="demo")
    app.desk.refuses = UnfedError("the prompt holds a NUL character", hint="is this text?")
    async with app.run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await pilot.press(*"cat", "enter")
        await until(pilot, lambda: isinstance(app.screen, Trouble))
        await drawn(pilot)
        assert "the prompt holds a NUL character" in shown(app) and "→ is this text?" in shown(app)
        assert "Traceback" not in shown(app)


async def test_a_column_can_fill_the_screen_and_give_it_back(tmp_path):
    app = make_app(tmp_path, profile="demo")
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot)
        await pilot.press("tab", "tab", "z")
        await drawn(pilot)
        assert app.screen.maximized is not None
        assert "split" in shown(app) and "prompt exposed to server" not in shown(app)
        await pilot.press("escape")
        await drawn(pilot)
        assert app.screen.maximized is None


async def test_quitting_a_run_asks_first_and_leaves_nothing_open(tmp_path):
    app = make_app(tmp_path, profile="demo")
    app.desk.scripted.holds = {"plain": 1}
    async with app.run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await pilot.press(*"cat", "enter")
        await until(pilot, lambda: app.board.columns["plain"].pieces)
        await pilot.press("ctrl+q")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("enter")  # the focus is on no
        await until(pilot, lambda: not isinstance(app.screen, Confirm))
        assert app.board.running and not app.desk.scripted.closed
        await pilot.press("ctrl+q")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("tab", "enter")
        await until(pilot, lambda: app.desk.scripted.closed)
    assert app.return_code == 0


async def test_leaving_by_any_way_closes_the_session(tmp_path):
    app = make_app(tmp_path, profile="demo")
    async with app.run_test() as pilot:
        await ready(pilot)
        await pilot.press(*"cat", "enter")
        await until(pilot, lambda: not app.board.running)
    assert app.desk.scripted.closed


async def test_many_columns_scroll_sideways_and_keep_their_width(tmp_path):
    app = make_app(tmp_path, profile="demo")
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot)
        app.choose(msgspec.structs.replace(app.choice, options={"split": {"shards": "1,2,3,4"}}))
        await until(pilot, lambda: len(app.board.columns) == 5)
        await drawn(pilot)
        panels = list(app.screen.query(ColumnPanel))
        assert all(panel.size.width >= 36 for panel in panels)
        await pilot.press("tab", "right", "right", "right", "right")
        await drawn(pilot)
        assert "split[shards=4]" in shown(app)
