"""Gallery, Fleet, Runs, setup, help, palette, keymap and themes, driven by keys."""

from __future__ import annotations

import json

import msgspec
import pytest
from scripted_backends import ALL, Plain
from scripted_desk import drawn, make_app, ready, shown, until
from textual import events
from textual.widget import Widget

from unfed.console.app.actions import IDS
from unfed.console.app.palette import Actions
from unfed.console.app.screens.confirm import Confirm
from unfed.console.app.screens.explain import Explain, help_of
from unfed.console.app.screens.gallery import DemoCard
from unfed.console.app.screens.read import Read
from unfed.console.app.screens.setup import BackendBox, SetupScreen
from unfed.console.app.widgets.backend_card import BackendCard
from unfed.console.app.widgets.form_field import FieldInput, FieldSelect, FormField
from unfed.console.app.widgets.party_table import PartyTable
from unfed.console.app.widgets.prompt_box import PromptBox
from unfed.console.results.record import news
from unfed.console.runner.notices import Answering, Told
from unfed.plugins import Note, Route, UnfedError


async def test_the_first_run_opens_on_the_gallery_and_enter_runs_the_demo(tmp_path):
    app = make_app(tmp_path)
    async with app.run_test(size=(160, 45)) as pilot:
        await ready(pilot)
        assert app.current_mode == "gallery"
        await drawn(pilot)
        text = shown(app)
        assert "a large grey mammal" in text
        assert "prompt exposed to server" in text, "the badge comes from a real plan"
        assert "pip install lattice-oracle" in text and "pip install ezkl" in text
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "compare" and app.desk.records)
        assert app.desk.records[0].prompts[0].id == "p07"
    again = make_app(tmp_path)
    async with again.run_test() as pilot:
        await ready(pilot)
        assert again.current_mode == "compare", "it has been met"


async def test_a_card_puts_its_backend_in_and_takes_it_out(tmp_path):
    app = make_app(tmp_path)
    async with app.run_test(size=(160, 45)) as pilot:
        await ready(pilot)
        await until(pilot, lambda: len(app.screen.query(BackendCard)) == 5)
        card = next(card for card in app.screen.query(BackendCard) if card.card.name == "veil")
        card.focus()
        await pilot.press("space")
        await until(pilot, lambda: list(app.board.columns) == ["plain", "split", "veil"])
        await until(pilot, lambda: card.card.chosen)
        await pilot.press("space")
        await until(pilot, lambda: list(app.board.columns) == ["plain", "split"])
        lost = next(card for card in app.screen.query(BackendCard) if card.card.name == "lost")
        lost.focus()
        await pilot.press("space")
        assert "lost" not in app.choice.backends, "what is missing something cannot be chosen"


async def test_without_a_backend_the_next_key_is_taught(tmp_path):
    app = make_app(tmp_path, profile="demo", backends=())
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot)
        assert "No backend is chosen" in shown(app) and "^o chooses some" in shown(app)
        await pilot.press("f4")
        await drawn(pilot)
        assert "No party is running" in shown(app) and "o starts the fleets" in shown(app)
        await pilot.press("f5")
        await until(pilot, lambda: "No run is saved yet" in shown(app))
        assert "F3 goes to Compare" in shown(app)


async def test_the_fleet_is_listed_and_a_kill_asks_first(tmp_path):
    app = make_app(tmp_path, profile="demo")
    app.desk.scripted.logs = {("split", "layers-0"): ["ready", "\x1b[31mwarned[/]"]}
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press("f4", "o")
        await until(pilot, lambda: len(app.board.parties) == 6)
        await drawn(pilot)
        assert "28.3 MB" in shown(app) and "layers-2" in shown(app)
        await pilot.press("down", "down", "down")
        assert app.screen.query_one(PartyTable).party == ("split", "layers-0")
        await until(pilot, lambda: "␛[31mwarned[/]" in shown(app))
        await pilot.press("k")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("escape")
        await pilot.pause()
        assert not [call for call in app.desk.scripted.calls if call[0] == "kill"]
        await pilot.press("k")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("tab", "enter")
        await until(pilot, lambda: ("kill", "split", "layers-0") in app.desk.scripted.calls)
        await until(pilot, lambda: app.board.parties[("split", "layers-0")].health == "lost")
        await drawn(pilot)
        assert "✗ lost" in shown(app) and "1 lost" in shown(app)
        await pilot.press("r")
        await until(pilot, lambda: app.board.parties[("split", "layers-0")].health == "ready")
        await drawn(pilot)
        assert "✗ lost" not in shown(app)


async def test_the_way_of_a_query_is_drawn_while_it_is_answered(tmp_path):
    app = make_app(tmp_path, profile="demo")
    scripted = app.desk.scripted
    scripted.holds = {"split": 2}
    scripted.told["split"] = (Route(steps=(("layers-0", "layers-1"), ("layers-2",))),)
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot)
        await pilot.press("f4", "o")
        await until(pilot, lambda: len(app.board.parties) == 6)
        await drawn(pilot)
        assert not app.screen.query_one("#fleet-routes").display, "nobody has told a way"
        await pilot.press("f3", "ctrl+g", "enter", "f4")
        await until(pilot, lambda: "split  client → layers-0 | layers-1 → layers-2 → client" in shown(app))
        assert "a token" not in shown(app)
        told = Route(steps=(("layers-1",), ("layers-2",)), seconds=0.0093)
        scripted.watch(Answering("split", "p07", told))
        lost = Note(kind="retry", party="layers-0", text="lost; asked \x1b[31magain", at=0.5)
        scripted.watch(Answering("split", "p07", lost))
        await until(pilot, lambda: "split  client → layers-1 → layers-2 → client   9.30 ms a token" in shown(app))
        assert "500 ms  retry  layers-0: lost; asked ␛[31magain" in shown(app)
        await scripted.kill("split", "layers-2")
        await until(pilot, lambda: "layers-1 → ✗ layers-2 " in shown(app))
        scripted.release.set()
        await until(pilot, lambda: not app.board.running)
        await drawn(pilot)
        assert "layers-1 → ✗ layers-2 " in shown(app), "the last way stays"


async def test_what_happens_between_queries_is_on_the_fleet_screen_and_goes_with_the_fleet(tmp_path):
    app = make_app(tmp_path, profile="demo")
    scripted = app.desk.scripted
    between = [Note(kind="check", text=f"decoy {number}", party="layers-1") for number in range(2)]
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot)
        await pilot.press("f4", "o")
        await until(pilot, lambda: len(app.board.parties) == 6)
        assert not app.board.running
        scripted.between.append(news("split", between[0]))
        await until(pilot, lambda: "check  layers-1: decoy 0" in shown(app))
        scripted.between.append(news("split", between[1]))
        for each in scripted.between:
            scripted.watch(Told(each))
        await until(pilot, lambda: "check  layers-1: decoy 1" in shown(app))
        assert shown(app).count("decoy 0") == 1, "told again, and known"
        scripted.between.clear()
        await until(pilot, lambda: "decoy" not in shown(app))


@pytest.mark.parametrize("mode", ["gallery", "compare", "fleet", "runs", "plugins"])
async def test_the_header_follows_parties_that_die_without_a_notice(tmp_path, mode):
    app = make_app(tmp_path, profile="demo")
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        app.start_fleets()
        await until(pilot, lambda: len(app.board.parties) == 6)
        await app.go(mode)
        await until(pilot, lambda: "6 parties" in shown(app))
        held = app.desk.scripted._parties
        for key in list(held)[1:]:
            held[key] = msgspec.structs.replace(held[key], health="lost", note="killed by signal 9")
        await until(pilot, lambda: "1 party" in shown(app), seconds=5)
        assert "6 parties" not in shown(app)


async def test_the_fleet_is_painted_a_few_times_a_second_however_much_happens(tmp_path, monkeypatch):
    from unfed.console.app.screens.fleet import FleetScreen
    from unfed.console.runner.notices import PartyChanged

    app = make_app(tmp_path, profile="demo")
    painted = []
    real = FleetScreen.paint
    monkeypatch.setattr(FleetScreen, "paint", lambda self: (painted.append(1), real(self)))
    assert FleetScreen.period >= 0.2
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press("f4", "o")
        await until(pilot, lambda: len(app.board.parties) == 6)
        await until(pilot, lambda: painted)
        painted.clear()
        for party in list(app.board.parties.values()) * 50:
            app.watch_session(PartyChanged(party))
        await pilot.pause()
        assert len(painted) <= 2


async def test_runs_are_listed_read_and_exported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app = make_app(tmp_path, profile="demo")
    async with app.run_test(size=(160, 45)) as pilot:
        await ready(pilot)
        await pilot.press(*"cat", "enter")
        await until(pilot, lambda: app.desk.records)
        await pilot.press("f5")
        await until(pilot, lambda: "run-1" in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Read))
        await until(pilot, lambda: "african elephant" in shown(app))
        await pilot.press("escape", "e")
        await until(pilot, lambda: (tmp_path / "unfed-run-1.json").exists())
        assert json.loads((tmp_path / "unfed-run-1.json").read_text())["run_id"] == "run-1"


async def test_setup_is_generated_checked_and_applied(tmp_path):
    app = make_app(tmp_path, profile="demo")
    async with app.run_test(size=(120, 45)) as pilot:
        await ready(pilot)
        await pilot.press("ctrl+o")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        fields = {field.field.key: field for field in app.screen.query(FormField)}
        assert {"split.shards", "split.dtype", "lost.ratios", "run.temperature", "run.links"} <= set(fields)
        box = next(box for box in app.screen.query(BackendBox) if box.name == "lost")
        assert box.disabled
        shards = fields["split.shards"].query_one(FieldInput)
        shards.value = "9"
        await pilot.press("f10")
        await until(pilot, lambda: "split.shards = '9'" in shown(app))
        assert isinstance(app.screen, SetupScreen), "what is wrong is said and nothing is taken"
        shards.value = "2,4"
        fields["run.temperature"].query_one(FieldInput).value = "0.7"
        await pilot.press("f10")
        await until(pilot, lambda: list(app.board.columns) == ["plain", "split[shards=2]", "split[shards=4]"])
        assert app.choice.sampling.temperature == 0.7
        await drawn(pilot)
        assert "T 0.7" in shown(app)
        await pilot.press("ctrl+o")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        fields = {field.field.key: field for field in app.screen.query(FormField)}
        assert fields["split.shards"].text == "2,4", "the form remembers"
        await pilot.press("escape")


@pytest.mark.parametrize("keys", [["tab", "2", "f10"], ["tab", "tab", "shift+tab", "2", ",", "4", "f10"]])
async def test_keys_that_come_in_one_burst_go_where_they_were_typed(tmp_path, keys):
    """As a fast typist's or a slow terminal's do: all are there before the first has moved the focus."""
    app = make_app(tmp_path, profile="demo")
    async with app.run_test(size=(120, 45)) as pilot:
        await ready(pilot)
        await pilot.press("ctrl+o")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        next(box for box in app.screen.query(BackendBox) if box.name == "split").focus()
        await drawn(pilot)
        for key in keys:
            app.post_message(events.Key(key, key if len(key) == 1 else None))
        await until(pilot, lambda: not isinstance(app.screen, SetupScreen))
        typed = "".join(key for key in keys if len(key) == 1)
        assert app.choice.options == {"split": {"shards": typed}}


async def test_setup_shows_and_keeps_a_mode_that_was_changed_outside_it(tmp_path):
    app = make_app(tmp_path, profile="demo")
    async with app.run_test(size=(120, 45)) as pilot:
        await ready(pilot)
        await pilot.press("ctrl+r", "ctrl+o")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        fields = {field.field.key: field for field in app.screen.query(FormField)}
        assert fields["run.race"].text == "true"
        fields["run.temperature"].query_one(FieldInput).value = "0.7"
        await pilot.press("f10")
        await until(pilot, lambda: app.choice.sampling.temperature == 0.7)
        assert app.choice.race


async def test_a_variant_that_cannot_be_planned_says_so_in_its_column(tmp_path):
    app = make_app(tmp_path, profile="demo")
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        app.choose(msgspec.structs.replace(app.choice, options={"split": {"shards": "5"}}))
        await until(pilot, lambda: app.board.columns["split"].problem is not None)
        await drawn(pilot)
        assert "4 layers cannot be split over 5 nodes" in shown(app) and "→ choose 1 to 4 shards" in shown(app)


async def test_an_unknown_profile_is_a_dialog_and_not_a_crash(tmp_path):
    app = make_app(tmp_path, profile="demmo")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "there is no profile 'demmo'" in shown(app))
        assert "→ known: demo, wide" in shown(app)
        await pilot.press("escape", "ctrl+o")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        app.screen.query_one("#profile", FieldSelect).value = "demo"
        await until(pilot, lambda: list(app.board.columns) == ["plain", "split"])


async def test_a_run_that_cannot_be_saved_is_said_and_the_next_one_goes_on(tmp_path):
    app = make_app(tmp_path, profile="demo")
    app.desk.unsaved = UnfedError("cannot write to /state: No space left", hint="make room")
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await ready(pilot)
        for _ in range(2):
            await pilot.press(*"cat", "enter")
            await until(pilot, lambda: not app.board.running)
        await until(pilot, lambda: "No space left" in shown(app) and "make room" in shown(app))
        assert app.board.columns["plain"].stage == "done"


@pytest.mark.parametrize("size", [(40, 12), (10, 3), (300, 80)])
async def test_no_size_of_terminal_breaks_a_screen(tmp_path, size):
    app = make_app(tmp_path, profile="demo", backends=("plain", "split", "veil"))
    async with app.run_test(size=size) as pilot:
        await ready(pilot)
        await pilot.press(*"cat", "enter")
        await until(pilot, lambda: app.desk.records)
        for mode in app.MODES:
            await app.go(mode)
            await drawn(pilot)
            await pilot.press("f1")
            await pilot.pause()
            await pilot.press("escape")
        await app.go("compare")
        await pilot.press("ctrl+o")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        await pilot.resize_terminal(80, 24)
        await pilot.press("escape")
        await drawn(pilot)
        assert "animal" in shown(app)


@pytest.mark.parametrize("mode", ["gallery", "compare", "fleet", "runs", "plugins"])
async def test_everything_that_takes_the_focus_explains_itself(tmp_path, mode):
    app = make_app(tmp_path, profile="demo")
    async with app.run_test(size=(160, 45)) as pilot:
        await ready(pilot)
        await pilot.press(*"cat", "enter")
        await until(pilot, lambda: app.desk.records)
        await app.go(mode)
        await drawn(pilot)
        chain = [widget for widget in app.screen.focus_chain if isinstance(widget, Widget)]
        assert chain
        for widget in chain:
            assert widget.HELP, f"{widget!r} has no help of its own"
        chain[0].focus()
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(app.screen, Explain))
        await until(pilot, lambda: "app.quit" in shown(app) or "app.help" in shown(app))
        assert help_of(chain[0]).split()[0] in shown(app)
        await pilot.press("escape")
        assert not isinstance(app.screen, Explain)


async def test_dialogs_explain_themselves_too(tmp_path):
    app = make_app(tmp_path, profile="demo")
    async with app.run_test(size=(120, 45)) as pilot:
        await ready(pilot)
        await pilot.press("ctrl+o")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        assert [widget for widget in app.screen.focus_chain if not widget.HELP] == []
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(app.screen, Explain))


async def test_every_binding_of_ours_has_id_tooltip_and_keymap_entry(tmp_path):
    app = make_app(tmp_path, profile="demo")
    ours = 0
    async with app.run_test(size=(120, 45)) as pilot:
        await ready(pilot)
        await pilot.press(*"cat", "enter")
        await until(pilot, lambda: app.desk.records)
        for mode in app.MODES:
            await app.go(mode)
            await drawn(pilot)
            for node in [app, app.screen, *app.screen.query("*")]:
                declared = [binding for kind in type(node).__mro__ for binding in vars(kind).get("BINDINGS", ())
                            if kind.__module__.startswith("unfed.")]  # fmt: skip
                for binding in declared:
                    ours += 1
                    assert binding.id in IDS and binding.tooltip and binding.description, binding
    assert ours > 20


async def test_every_screen_and_action_is_within_reach_while_one_types(tmp_path):
    app = make_app(tmp_path, profile="demo")
    async with app.run_test(size=(120, 45)) as pilot:
        await ready(pilot)
        assert isinstance(app.screen.focused, PromptBox)
        within = {active.binding.id for active in app.screen.active_bindings.values()}
        assert {act.id for act in IDS.values() if act.scope == "app"} - {"app.stop"} <= within, "ctrl+c copies first"
        assert {"compare.setup", "compare.race", "compare.example", "prompt.send"} <= within
        for key, mode in (("f2", "gallery"), ("f4", "fleet"), ("f5", "runs"), ("f8", "plugins")):
            await pilot.press(key)
            await until(pilot, lambda mode=mode: app.current_mode == mode)
            await pilot.press("f3")
            await until(pilot, lambda: app.current_mode == "compare")


async def test_the_palette_reads_noun_verb_and_reaches_every_action(tmp_path):
    app = make_app(tmp_path, profile="demo")
    app.desk.scripted.holds = {"plain": 1}
    async with app.run_test(size=(120, 45)) as pilot:
        await ready(pilot)
        await pilot.press(*"cat", "enter")
        await until(pilot, lambda: app.board.columns["plain"].pieces)
        texts = [entry.text for entry in Actions(app.screen).entries()]
        assert "plain: Cancel" in texts, "what is on the screen has entries of its own"
        for act in IDS.values():
            if act.scope not in ("modal", "setup") and act.id not in ("app.palette", "prompt.newline"):
                assert act.verb in texts, act.id
        app.desk.scripted.release.set()
        await until(pilot, lambda: not app.board.running)
        await pilot.press("ctrl+p")
        await pilot.pause()
        await pilot.press(*"fleet: open")
        await until(pilot, lambda: "fleet: Open" in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "fleet")
        race = next(entry for entry in Actions(app.screen).entries() if entry.text == "race: Toggle")
        await race.run()
        assert app.current_mode == "compare" and app.choice.race, "an action is run on its own screen"


async def test_names_in_the_palette_are_text_and_not_markup(tmp_path):
    app = make_app(tmp_path, profile="demo")
    app.desk.scripted.holds = {"plain": 1, "split[shards=2]": 1}
    async with app.run_test(size=(120, 45)) as pilot:
        await ready(pilot)
        app.choose(msgspec.structs.replace(app.choice, options={"split": {"shards": "2,3"}}, race=True))
        await until(pilot, lambda: "split[shards=2]" in app.board.columns and not app.looking)
        await pilot.press(*"cat", "enter")
        await until(pilot, lambda: app.board.columns["split[shards=2]"].pieces)
        await pilot.press("ctrl+p")
        await until(pilot, lambda: "split[shards=2]: Cancel" in shown(app))
        await pilot.press(*"shards=2")
        await until(pilot, lambda: "compare: Set up" not in shown(app) and "split[shards=2]: Cancel" in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: ("cancel", "split[shards=2]") in app.desk.scripted.calls)
        app.desk.scripted.release.set()


async def test_keys_are_remapped_and_bad_ones_are_said(tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "keymap.toml").write_text(
        '[compare]\nrace = "ctrl+b"\nrase = "x"\n[fleet]\nkill = "ctrl+banana"\n[app]\nfleet = "f9"\n'
    )
    app = make_app(tmp_path, profile="demo")
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await ready(pilot)
        said = " ".join(note.message for note in app._notifications)
        assert "there is no action 'compare.rase'; did you mean 'compare.race'" in said
        assert "ctrl+banana" in said
        await until(pilot, lambda: "ctrl+banana" in shown(app))
        text = shown(app)
        assert "^b Race" in text and "F9 Fleet" in text, "footer and top bar show the new keys"
        await pilot.press("ctrl+r")
        assert not app.choice.race
        await pilot.press("ctrl+b")
        assert app.choice.race
        await pilot.press("f9")
        await until(pilot, lambda: app.current_mode == "fleet")


async def test_the_theme_is_remembered(tmp_path):
    app = make_app(tmp_path, profile="demo")
    async with app.run_test() as pilot:
        await ready(pilot)
        assert app.theme == "unfed"
        app.theme = "nord"
        await pilot.pause()
    again = make_app(tmp_path)
    async with again.run_test() as pilot:
        await ready(pilot)
        assert again.theme == "nord"
    (tmp_path / "state" / "console.json").write_text('{"theme": "gone"}')
    third = make_app(tmp_path)
    async with third.run_test() as pilot:
        await ready(pilot)
        assert third.theme == "unfed"


async def test_a_plugin_that_fails_after_a_run_is_reported(tmp_path):
    app = make_app(tmp_path, profile="demo")
    app.desk.told = ["plugin teller: ValueError: [no]"]
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await ready(pilot)
        await pilot.press(*"cat", "enter")
        await until(pilot, lambda: "plugin teller: ValueError: [no]" in shown(app))


async def test_the_demo_card_is_focused_first_and_cards_are_reached_by_arrows(tmp_path):
    app = make_app(tmp_path)
    async with app.run_test(size=(160, 45)) as pilot:
        await ready(pilot)
        await until(pilot, lambda: len(app.screen.query(BackendCard)) == 5)
        assert isinstance(app.focused, DemoCard)
        await pilot.press("down")
        assert isinstance(app.focused, BackendCard)
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "compare")
        assert isinstance(app.focused, PromptBox)


async def test_a_plugin_that_breaks_the_contract_is_set_aside_on_its_own_card(tmp_path, monkeypatch):
    class Typo(Plain):
        name, title = "typo", "[bold]Typo[/]"

        def plan(self, models, options):
            plan = super().plan(models, options)
            claim = msgspec.structs.replace(plan.guarantee[0], basis="computationl")
            return msgspec.structs.replace(plan, guarantee=(claim,))

    class Raises(Plain):
        name, title = "raises", None

        @classmethod
        def missing(cls):
            raise ValueError("not even this works")

    monkeypatch.setitem(ALL, "typo", Typo)
    monkeypatch.setitem(ALL, "raises", Raises)
    app = make_app(tmp_path)
    async with app.run_test(size=(160, 60)) as pilot:
        await ready(pilot)
        await until(pilot, lambda: len(app.screen.query(BackendCard)) == 7)
        await until(pilot, lambda: "not even this works" in shown(app))
        text = shown(app)
        assert "computationl" in text and "[bold]Typo[/]" in text
        assert "prompt exposed to server" in text, "the others stand as before"
        await pilot.press("f3", "ctrl+o")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
