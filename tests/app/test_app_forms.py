"""The form that is generated from Options, and the keymap and settings files."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_backends import ALL, Lost, Plain, Split

from unfed.console.app.actions import ACTS, IDS
from unfed.console.app.desk import Choice
from unfed.console.app.forms import apply, option_fields, run_fields
from unfed.console.app.keymap import clashes, is_key, read_keymap
from unfed.console.app.local import tour
from unfed.console.app.settings import Settings, read_settings, write_settings
from unfed.console.results.record import Prompt
from unfed.console.runner.variants import make_variants
from unfed.plugins import UnfedError


def test_every_option_becomes_a_field_with_what_it_takes():
    fields = {field.label: field for field in option_fields(Split, {"shards": "2,3"})}
    assert list(fields) == ["shards", "dtype", "embed_at_client"]
    assert (fields["shards"].value, fields["shards"].default, fields["shards"].bounds) == ("2,3", "3", "1 … 8")
    assert fields["shards"].about == "How many nodes share the layers."
    assert fields["dtype"].choices == ("fp32", "fp16", "bf16")
    assert fields["embed_at_client"].choices == ("true", "false")
    assert fields["embed_at_client"].default == "true"


def test_enums_lists_optionals_and_profile_defaults_become_fields_too():
    fields = {field.label: field for field in option_fields(Lost, {}, {"epsilon": 3.5})}
    assert fields["colour"].choices == ("red", "green")
    assert fields["colour"].default == "red"
    assert fields["ratios"].default == "[0.5,0.25]"
    assert fields["seed"].default == ""
    assert (fields["epsilon"].default, fields["epsilon"].bounds) == ("3.5", "> 0")
    assert option_fields(Plain, {}) == []


def test_what_a_form_holds_makes_the_same_variants_as_the_command_line():
    choice = apply(Choice(), "demo", ["split"], {"split.shards": "2,3", "split.dtype": "bf16", "plain.x": ""})
    assert choice.options == {"split": {"shards": "2,3", "dtype": "bf16"}}
    sets = [f"{b}.{o}={v}" for b, options in choice.options.items() for o, v in options.items()]
    made = make_variants([ALL[name] for name in choice.backends], sets)
    assert [variant.id for variant in made] == ["split[shards=2]", "split[shards=3]"]


def test_the_run_fields_of_a_choice_give_it_back():
    choice = Choice(links="wan", timeout=7.5, race=True, audit=True)
    values = {field.key: field.value for field in run_fields(choice, ["none", "wan"])}
    assert apply(Choice(), None, (), values) == choice
    assert {field.key: field.bounds for field in run_fields(choice, [])}["run.top_p"] == ">0 … 1"


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("max_new_tokens", "0", "max_new_tokens = '0'"),
        ("max_new_tokens", "2.5", "max_new_tokens = '2.5'"),
        ("max_new_tokens", "inf", "max_new_tokens = 'inf'"),
        ("temperature", "warm", "temperature = 'warm'"),
        ("temperature", "nan", "temperature = 'nan'"),
        ("top_p", "0", "top_p = '0'"),
        ("top_p", "1.5", "top_p = '1.5'"),
        ("timeout", "0", "timeout = '0'"),
        ("seed", "-1", "seed = '-1'"),
    ],
)
def test_a_run_field_that_cannot_be_is_named(key, text, said):
    with pytest.raises(UnfedError, match=said):
        apply(Choice(), None, (), {f"run.{key}": text})


def test_actions_are_declared_once_and_completely():
    assert len(IDS) == len(ACTS)
    for act in ACTS:
        assert act.about.endswith("."), act.id
        assert ": " in act.verb and act.verb.split(": ")[1][0].isupper(), act.id
        assert all(is_key(key) for key in act.keys.split(",")), act.id
    assert clashes({act.id: act.keys for act in ACTS}) == []


def test_no_action_rests_on_a_key_that_terminals_confuse():
    confused = {"ctrl+m", "ctrl+i", "ctrl+h", "ctrl+j", "ctrl+s"}
    for act in ACTS:
        assert set(act.keys.split(",")) - confused, act.id


@pytest.mark.parametrize("key", ["x", "?", "f5", "ctrl+y", "alt+enter", "space", "question_mark", "ctrl+shift+a", "+"])
def test_keys_that_are_keys(key):
    assert is_key(key)


@pytest.mark.parametrize("key", ["", "ctrl+", "hyperdrive+x", "ctrl+ctrl+x", "ff", "ctrl+banana", " "])
def test_keys_that_are_none(key):
    assert not is_key(key)


def test_a_keymap_is_read_in_tables_and_dotted_names(tmp_path):
    path = tmp_path / "keymap.toml"
    path.write_text('[compare]\nrace = "ctrl+y"\ncancel = ["x", "ctrl+x"]\n\n[fleet]\nkill = "f9"\n')
    assert read_keymap(path) == (
        {"compare.race": "ctrl+y", "compare.cancel": "x,ctrl+x", "fleet.kill": "f9"},
        [],
    )
    path.write_text('"app.quit" = "f10"\n')
    assert read_keymap(path) == ({"app.quit": "f10"}, [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[compare]\nrase = "x"', "there is no action 'compare.rase'; did you mean 'compare.race'?"),
        ('[compare]\nrace = "ctrl+banana"', "compare.race = 'ctrl+banana' is no key"),
        ("[compare]\nrace = 7", "compare.race must be a key"),
        ("[compare]\nrace = []", "compare.race must be a key"),
        ("[compare\n", "is not TOML"),
        ('[fleet]\nkill = "r"', "r is both fleet.kill and fleet.restart"),
    ],
)
def test_what_is_wrong_in_a_keymap_is_said_and_passed_over(tmp_path, text, said):
    path = tmp_path / "keymap.toml"
    path.write_text(text)
    keymap, problems = read_keymap(path)
    assert len(problems) == 1 and said in problems[0], problems
    assert "compare.race" not in keymap


def test_a_keymap_that_is_no_text_or_a_folder_is_said(tmp_path):
    path = tmp_path / "keymap.toml"
    path.write_bytes(b"\xff\xfe")
    assert "UTF-8" in read_keymap(path)[1][0]
    (tmp_path / "folder.toml").mkdir()
    assert "cannot be read" in read_keymap(tmp_path / "folder.toml")[1][0]
    assert read_keymap(tmp_path / "absent.toml") == ({}, [])


@given(st.binary(max_size=200))
def test_no_keymap_file_whatever_breaks_the_console(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("keys") / "keymap.toml"
    path.write_bytes(data)
    keymap, _ = read_keymap(path)
    assert set(keymap) <= set(IDS)


def test_settings_come_back_and_trouble_costs_only_the_memory(tmp_path):
    folder = tmp_path / "state"
    assert read_settings(folder) == Settings()
    write_settings(folder, Settings(theme="nord", welcomed=True))
    assert read_settings(folder) == Settings(theme="nord", welcomed=True)
    assert [path.name for path in folder.iterdir()] == ["console.json"]
    (folder / "console.json").write_text(json.dumps({"theme": 7}))
    assert read_settings(folder) == Settings()
    blocked = tmp_path / "file"
    blocked.write_text("")
    write_settings(blocked / "state", Settings(theme="nord"))


def test_examples_of_one_label_are_spread_out():
    prompts = [Prompt(id=str(i), prompt=str(i), label=label) for i, label in enumerate("aabbc")]
    assert "".join(prompt.label or "" for prompt in tour(prompts)) == "abcab"
    assert tour([]) == []
