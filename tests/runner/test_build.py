"""From words to a request: what is asked, what the profile says, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from faces import host
from model_folders import write_model

from unfed.console.results.record import Prompt
from unfed.console.runner.build import Wanted, build
from unfed.console.runner.links import LINKS
from unfed.console.runner.request import Request, Sampling
from unfed.plugins import Emulation, ModelCard, UnfedError


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNFED_CONFIG_DIR", str(tmp_path / "config"))
    folder = tmp_path / "config" / "profiles"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(write_model(tmp_path / "tiny"))


async def ask(**wanted: Any) -> Request:
    return await build(Wanted(**wanted), host())


async def test_flags_alone(model: str) -> None:
    request = await ask(backends=("alpha",), model=model, prompts=("one", "two"))
    assert [variant.id for variant in request.variants] == ["alpha"]
    assert request.prompts == (Prompt(id="p1", prompt="one"), Prompt(id="p2", prompt="two"))
    assert (request.template, request.profile, request.links, request.sampling) == ("{prompt}", None, None, Sampling())
    assert request.emulation == Emulation() and isinstance(request.models["model"], ModelCard)


async def test_profile_and_flags_above_it(config: Path, model: str) -> None:
    (config / "p.txt").write_text("from the profile\n")
    (config / "mine.toml").write_text(
        f"""
        template = "<{{prompt}}>"
        prompts = "p.txt"
        [models]
        model = "{model}"
        [run]
        max_new_tokens = 5
        temperature = 0.5
        seed = 7
        links = "moon"
        timeout = 9
        [backends.alpha]
        shards = 2
        [links.moon]
        delay_ms = 1300
        """
    )
    request = await ask(profile="mine")
    assert request.sampling == Sampling(max_new_tokens=5, temperature=0.5, seed=7)
    assert (request.links, request.emulation, request.timeout) == ("moon", Emulation(delay=1.3), 9)
    assert (request.template, request.profile) == ("<{prompt}>", "mine")
    assert request.prompts == (Prompt(id="p1", prompt="from the profile"),)
    assert request.variants[0].settings["shards"] == 2
    over = await ask(
        profile="mine", temperature=0.0, seed=8, links="wan", timeout=3.0, prompts=("mine",), sets=("alpha.shards=1",)
    )
    assert over.sampling == Sampling(max_new_tokens=5, temperature=0.0, seed=8)
    assert (over.links, over.emulation, over.timeout) == ("wan", LINKS["wan"], 3)
    assert [prompt.prompt for prompt in over.prompts] == ["mine"] and over.variants[0].settings["shards"] == 1


async def test_file_then_texts_under_free_ids(tmp_path: Path, model: str) -> None:
    (tmp_path / "f.jsonl").write_text('{"id": "p1", "prompt": "a"}\n{"id": "prompt-1", "prompt": "b"}')
    request = await ask(backends=("alpha",), model=model, file=str(tmp_path / "f.jsonl"), prompts=("c", "d"))
    assert [(each.id, each.prompt) for each in request.prompts] == [
        ("p1", "a"), ("prompt-1", "b"), ("--prompt 1", "c"), ("p2", "d"),
    ]  # fmt: skip


async def test_slots(config: Path, model: str, tmp_path: Path) -> None:
    other = write_model(tmp_path / "other")
    (config / "mine.toml").write_text(
        f'[models]\nmodel = "{model}"\nmembers = ["{model}", "{other}"]\nunused = "/none"\n[backends.beta]'
    )
    request = await ask(profile="mine", prompts=("x",))
    members = request.models["members"]
    assert isinstance(members, tuple) and [card.name for card in members] == ["tiny", "other"]
    assert set(request.models) == {"model", "members"}
    (config / "one.toml").write_text(f'[models]\nmodel = "{model}"\nmembers = "{other}"\n[backends.beta]')
    assert isinstance((await ask(profile="one", prompts=("x",))).models["members"], tuple)


async def test_variants_that_cannot_be_planned_stay_where_others_can(model: str) -> None:
    request = await ask(backends=("alpha",), model=model, prompts=("x",), sets=("alpha.shards=2,9",))
    assert [variant.id for variant in request.variants] == ["alpha[shards=2]", "alpha[shards=9]"]
    with pytest.raises(UnfedError, match="there are no 9 layers"):
        await ask(backends=("alpha",), model=model, prompts=("x",), sets=("alpha.shards=9",))


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({}, "no backend is chosen .*alpha, beta, needy"),
        ({"backends": ("alhpa",)}, "there is no backend 'alhpa' .did you mean 'alpha'"),
        ({"backends": ("needy",)}, "backend needy needs no_such_library, .*pip install no-such-library"),
        ({"backends": ("alpha", "alpha")}, "chosen twice"),
        ({"profile": "nine"}, "there is no profile 'nine'"),
        ({"backends": ("alpha",)}, "there is no prompt"),
        ({"backends": ("alpha",), "prompts": ("",)}, "prompt 1: the prompt is empty"),
        ({"backends": ("alpha",), "prompts": ("x", " \n")}, "prompt 2: the prompt is empty"),
        ({"backends": ("alpha",), "prompts": ("\udcff",)}, "prompt 1: the prompt is not valid Unicode"),
        ({"backends": ("alpha",), "file": "none.txt"}, "cannot read the prompts file none.txt"),
        ({"backends": ("alpha",), "prompts": ("x",)}, "alpha needs a model in the slot 'model'.*--model FOLDER_OR_ID"),
        ({"backends": ("alpha",), "prompts": ("x",), "model": "./none"}, "there is no model folder"),
        ({"backends": ("alpha",), "prompts": ("x",), "links": "lam"}, "there is no link profile 'lam'"),
        ({"backends": ("alpha",), "prompts": ("x",), "max_new_tokens": 0}, "the run: max_new_tokens = 0"),
        ({"backends": ("alpha",), "prompts": ("x",), "temperature": float("nan")}, "the run: temperature = nan"),
        ({"backends": ("alpha",), "prompts": ("x",), "top_p": 0.0}, "the run: top_p = 0.0"),
        ({"backends": ("alpha",), "prompts": ("x",), "timeout": float("inf")}, "the run: timeout = inf"),
        ({"backends": ("alpha",), "prompts": ("x",), "parallel": 0}, "0 queries at once"),
    ],
)
async def test_what_cannot_be_run_is_refused(wanted: dict[str, Any], said: str) -> None:
    with pytest.raises(UnfedError, match=said):
        await ask(**wanted)


async def test_slot_that_nothing_fills_names_what_the_profile_fills(config: Path, model: str) -> None:
    (config / "mine.toml").write_text(f'[models]\nmodel = "{model}"\nmember = "{model}"\n[backends.beta]')
    with pytest.raises(UnfedError, match=r"needs a model in the slot 'members' .vote.*did you mean 'member'"):
        await ask(profile="mine", prompts=("x",))
    (config / "two.toml").write_text(f'[models]\nmodel = ["{model}", "{model}"]\n[backends.alpha]')
    with pytest.raises(UnfedError, match="the slot 'model' of backend alpha takes one model, and 2 are given"):
        await ask(profile="two", prompts=("x",))
