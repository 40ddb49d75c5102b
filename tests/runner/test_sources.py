"""References become folders: by path, by a plugin, or from a hub (a small one on loopback, asked by its own client)."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import psutil
import pytest
from faces import host
from model_folders import write_model
from small_hub import COMMIT, small_hub

from unfed.console.runner import sources
from unfed.console.runner.sources import open_model
from unfed.plugins import ModelSource, UnfedError, hookimpl


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reaches the real hub, nor this user's cache."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


async def test_folders_by_every_kind_of_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path / "work" / "org" / "tiny")
    monkeypatch.setenv("HOME", str(tmp_path / "work"))
    for reference in ("org/tiny", "./org/tiny", "../work/org/tiny", str(tmp_path / "work/org/tiny"), "~/org/tiny"):
        assert (await open_model(reference, host())).name == "tiny"


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("./none", "there is no model folder .*/none"),
        ("/none/of/it", "there is no model folder /none/of/it"),
        ("~/none", "there is no model folder"),
        ("a/b/c", "there is no model folder .*/a/b/c"),
        ("here/none", "no model folder here/none: here is a folder here, but it holds no none .write hf:here/none"),
        ("file", "file is a file .name its folder"),
        ("", "the name of the model is empty"),
        ("a\0b", "is no path"),
        ("x" * 5000, "cannot read the model folder"),
        ("not an id!", "is neither a model folder nor an id"),
        ("hf:a/b/c", "is neither a model folder nor an id"),
        ("hf:", "is neither a model folder nor an id"),
    ],
)
async def test_what_is_no_model_is_said(tmp_path: Path, reference: str, said: str) -> None:
    (tmp_path / "work" / "here").mkdir()
    (tmp_path / "work" / "file").write_text("")
    with pytest.raises(UnfedError, match=said):
        await open_model(reference, host())


class Shelf(ModelSource):
    name = "shelf"

    async def fetch(self, reference: str) -> Path | None:
        if reference == "shelf/broken":
            raise RuntimeError("the shelf fell")
        return Path(os.environ["SHELF"]) if reference == "shelf/tiny" else None


class ShelfPlugin:
    @hookimpl
    def unfed_model_sources(self) -> list[type[ModelSource]]:
        return [Shelf]


async def test_plugins_are_asked_before_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELF", str(write_model(tmp_path / "shelved")))
    card = await open_model("shelf/tiny", host(ShelfPlugin()))
    assert (card.name, card.folder) == ("shelf/tiny", str(tmp_path / "shelved"))
    with pytest.raises(UnfedError, match="the model source shelf failed: RuntimeError: the shelf fell"):
        await open_model("shelf/broken", host(ShelfPlugin()))


async def test_ids_are_fetched_once_and_found_offline_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_model(tmp_path / "served")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "modeling.py").write_text("raise SystemExit")
    (folder / "pytorch_model.bin").write_text("x")
    said: list[str] = []
    with small_hub("org/tiny", folder) as (address, asked):
        monkeypatch.setenv("HF_ENDPOINT", address)
        card = await open_model("org/tiny", host(), said.append)
        assert card.name == "org/tiny" and card.folder.endswith(COMMIT)
        assert sorted(path.name for path in card.path.iterdir()) == [
            "config.json",
            "model.safetensors",
            "tokenizer.json",
        ]
        assert said[0] == "fetching org/tiny"
        with pytest.raises(UnfedError, match="cannot fetch the model 'org/none': there is no such model") as caught:
            await open_model("org/none", host())
        assert "did you mean a folder? There is no org/none here" in str(caught.value)
        assert caught.value.failure.kind == "unavailable"
        assert any("org/tiny" in each for each in asked)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert (await open_model("hf:org/tiny", host())).folder == card.folder


async def test_hub_that_cannot_be_reached() -> None:
    with pytest.raises(UnfedError, match="cannot fetch the model 'org/tiny': the hub cannot be reached"):
        await open_model("org/tiny", host())


def helpers() -> list[psutil.Process]:
    """Helpers of this process that are alive; other tests may have left children of other kinds."""
    return [each for each in psutil.Process().children() if "unfed.console.party.fetch" in each.cmdline()]


async def test_hub_that_falls_silent_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "STALLED", 3.0)
    folder = write_model(tmp_path / "served")
    with small_hub("org/tiny", folder, stall="model.safetensors") as (address, _):
        monkeypatch.setenv("HF_ENDPOINT", address)
        with pytest.raises(UnfedError, match="nothing has come for 3 s"):
            await open_model("org/tiny", host())
    assert helpers() == []


async def test_cancelled_fetch_leaves_no_helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = asyncio.Event()
    folder = write_model(tmp_path / "served")
    with small_hub("org/tiny", folder, stall="model.safetensors") as (address, _):
        monkeypatch.setenv("HF_ENDPOINT", address)
        task = asyncio.create_task(open_model("org/tiny", host(), lambda line: begun.set()))
        await begun.wait()
        assert len(helpers()) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert helpers() == []


async def test_helper_ends_with_who_asked() -> None:
    """Its standard input closes when the console dies, however it dies."""
    import sys

    script = (
        "import sys, time; from unfed.console.party import fetch; fetch.fetch = lambda _: time.sleep(60); fetch.main()"
    )
    helper = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, "org/tiny"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    assert helper.stdin is not None
    helper.stdin.close()
    async with asyncio.timeout(20):
        assert await helper.wait() == 1
