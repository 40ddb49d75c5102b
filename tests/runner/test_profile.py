"""Profiles: what ships, what users add, and what is wrong with a broken one."""

from __future__ import annotations

from pathlib import Path

import pytest

from unfed.console.results.prompts import read_prompts
from unfed.console.runner.profile import BrokenProfile, Profile, find_profile, profiles
from unfed.console.runner.variants import make_variants
from unfed.plugins import Emulation, UnfedError
from unfed.plugins.host import PluginHost


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNFED_CONFIG_DIR", str(tmp_path / "config"))
    folder = tmp_path / "config" / "profiles"
    folder.mkdir(parents=True)
    return folder


def write(folder: Path, text: str, name: str = "mine") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_demo_names_what_is_there() -> None:
    demo = find_profile("demo")
    assert demo.origin == "built-in" and demo.template == "{prompt} =>"
    assert Path(str(demo.models["model"]), "config.json").is_file()
    assert demo.prompts is not None and len(read_prompts(demo.prompts)) >= 60
    assert list(demo.backends) == ["plain", "split"]
    host = PluginHost()
    assert len(make_variants([host.backend(name) for name in demo.backends], (), demo.backends)) == 2


def test_every_key(config: Path) -> None:
    (config / "model").mkdir()
    write(
        config,
        """
        title = "T"
        description = "D"
        template = "Q: {prompt} A:"
        prompts = "p.txt"
        [models]
        model = "model"
        members = ["./one", "org/two", "hf:model/x"]
        [run]
        max_new_tokens = 5
        temperature = 0.5
        top_p = 0.9
        seed = 7
        links = "moon"
        timeout = 9.5
        [backends.split]
        shards = 2
        [links.moon]
        delay_ms = 1300
        bandwidth_mbit = 8
        """,
    )
    mine = find_profile("mine")
    assert (mine.title, mine.description, mine.template, mine.origin) == ("T", "D", "Q: {prompt} A:", "user")
    assert mine.prompts == config / "p.txt"
    assert mine.models == {"model": str(config / "model"), "members": (str(config / "one"), "org/two", "hf:model/x")}
    assert (mine.run.max_new_tokens, mine.run.temperature, mine.run.top_p, mine.run.seed, mine.run.timeout) == (
        5,
        0.5,
        0.9,
        7,
        9.5,
    )
    assert mine.backends == {"split": {"shards": 2}}
    assert mine.links == {"moon": Emulation(delay=1.3, bandwidth=1e6)}


def test_empty_profile_is_all_defaults(config: Path) -> None:
    write(config, "")
    mine = find_profile("mine")
    assert (mine.title, mine.template, mine.prompts, mine.models, mine.backends) == ("mine", "{prompt}", None, {}, {})


def test_by_path_and_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inner").mkdir()
    write(tmp_path / "inner", 'prompts = "../p.txt"', "there")
    monkeypatch.chdir(tmp_path)
    there = find_profile("inner/there.toml")
    assert (there.name, there.origin) == ("there", "file")
    assert there.prompts is not None and there.prompts.resolve() == tmp_path / "p.txt"


def test_users_profile_hides_a_built_in_one(config: Path) -> None:
    write(config, 'title = "Mine"', "demo")
    assert find_profile("demo").title == "Mine"


def test_broken_profile_takes_no_other_with_it(config: Path) -> None:
    write(config, "= nonsense", "bad")
    write(config, "", "good")
    found = {each.name: type(each) for each in profiles()}
    assert found == {"bad": BrokenProfile, "good": Profile} | dict.fromkeys(("demo", "digits", "digits-mlp"), Profile)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("titel = 'x'", "mine.toml: there is no key 'titel' .did you mean 'title'"),
        ("[run]\nmax_tokens = 3", "there is no key 'run.max_tokens' .did you mean 'max_new_tokens'"),
        ("[links.moon]\ndelay = 3", "there is no key 'links.moon.delay' .did you mean 'delay_ms'"),
        ("[run]\nmax_new_tokens = 0", "run.max_new_tokens = 0"),
        ("[run]\ntemperature = -1", "run.temperature = -1"),
        ("[run]\ntemperature = nan", "run.temperature = nan"),
        ("[run]\ntop_p = 0", "run.top_p = 0"),
        ("[run]\ntimeout = 0", "run.timeout = 0"),
        ("[run]\nseed = -1", "run.seed = -1"),
        ("[models]\nmodel = 3", "models.model = 3"),
        ("template = 'no place'", "the template does not hold {prompt}"),
        ("[links.moon]\ndelay_ms = -1", "mine.toml: moon.*a delay of -0.001 s"),
        ("[links.moon]\nbandwidth_mbit = 0", "mine.toml: moon.*bandwidth is too small"),
        ("backends = 3", "backends = 3"),
        ("a = = 2", r"broken TOML: .*line 1"),
        ("x = 1\nx = 2", "broken TOML"),
    ],
)
def test_faults_name_file_and_key(config: Path, text: str, said: str) -> None:
    write(config, text)
    with pytest.raises(UnfedError, match=said) as caught:
        find_profile("mine")
    assert str(config / "mine.toml") in str(caught.value)


def test_file_that_is_no_text(config: Path) -> None:
    (config / "mine.toml").write_bytes(b"title = '\xff'")
    with pytest.raises(UnfedError, match="invalid UTF-8 at byte 9"):
        find_profile("mine")


@pytest.mark.parametrize("wanted", ["demoo", "", "missing.toml", "nul\0.toml"])
def test_no_such_profile(wanted: str) -> None:
    with pytest.raises(UnfedError) as caught:
        find_profile(wanted)
    assert "demo" in str(caught.value) or "cannot read the profile" in str(caught.value)
