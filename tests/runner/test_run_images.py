"""Runs of images: what is asked, what is refused before anything starts, and the record of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from image_models import save_classifier
from model_folders import write_model
from PIL import Image as Pillow
from real_fleets import Lent

from unfed.console.fleet.process import LocalLauncher
from unfed.console.results.check import faults
from unfed.console.results.export import rows
from unfed.console.results.record import ImageFile, Prompt, from_json, to_json
from unfed.console.runner import score
from unfed.console.runner.attached import AttachedFleet
from unfed.console.runner.build import Wanted, build
from unfed.console.runner.request import Request
from unfed.console.runner.session import Session
from unfed.console.runner.supervisor import Supervisor
from unfed.plugins import Token, UnfedError
from unfed.plugins.host import PluginHost

SIZE = (1, 6, 5)
LAYERS = ({"kind": "flatten"}, {"kind": "linear", "out": 5})


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(save_classifier(tmp_path / "pictures", LAYERS, SIZE, family="mlp"))


@pytest.fixture
def picture(tmp_path: Path) -> str:
    return paint(tmp_path / "a.png")


def paint(path: Path, size: tuple[int, int] = (6, 5), seed: int = 0) -> str:
    Pillow.fromarray(np.random.default_rng(seed).integers(0, 256, size, np.uint8)).save(path)
    return str(path)


async def ask(*backends: str, **wanted: Any) -> Request:
    return await build(Wanted(backends=backends or ("plain",), **wanted), PluginHost())


async def test_what_is_typed_names_an_image_where_the_model_takes_images(model: str, picture: str) -> None:
    request = await ask(model=model, prompts=(picture,))
    (prompt,) = request.prompts
    assert prompt.image is not None and (prompt.shown, prompt.prompt, prompt.id) == (picture, "", "p1")
    assert prompt.image.sha256 is not None and request.images["p1"].shape == SIZE


async def test_what_is_typed_is_text_where_the_model_takes_text(tmp_path: Path, picture: str) -> None:
    request = await ask(model=str(write_model(tmp_path / "tiny")), prompts=(picture,))
    assert request.prompts == (Prompt(id="p1", prompt=picture),) and not request.images


async def test_one_bad_prompt_is_its_results_matter_and_all_of_them_are_the_runs(
    tmp_path: Path, model: str, picture: str
) -> None:
    (tmp_path / "large").mkdir()
    bad = {
        "text": ({"prompt": "a word"}, "the prompt is text, and pictures takes images"),
        "gone": ({"image": "gone.png"}, "cannot read the image .*gone.png: No such file"),
        "none": ({"image": "p.jsonl"}, "is no image"),
        "size": ({"image": paint(tmp_path / "large" / "b.png", (8, 8))}, "the size 1×8×8, and pictures takes 1×6×5"),
    }
    file = tmp_path / "p.jsonl"
    for name, (entry, said) in bad.items():
        file.write_text(json.dumps({"id": name, **entry}))
        with pytest.raises(UnfedError, match=said):
            await ask(model=model, file=str(file))
    lines = [{"id": name, **entry} for name, (entry, _) in bad.items()] + [{"id": "good", "image": "a.png"}]
    file.write_text("\n".join(map(json.dumps, lines)))
    request = await ask(model=model, file=str(file))
    assert set(request.refused) == {"gone", "none"} and set(request.images) == {"size", "good"}
    assert request.prompts[4].image is not None and request.prompts[4].image.path == str(tmp_path / "a.png")


@pytest.mark.parametrize("backend", ["split", "mpc"])
async def test_backends_of_text_refuse_a_model_of_images_by_name(model: str, picture: str, backend: str) -> None:
    with pytest.raises(UnfedError, match=f"backend {backend} takes text prompts, and pictures takes images"):
        await ask(backend, model=model, prompts=(picture,))
    assert len((await ask("plain", backend, model=model, prompts=(picture,))).variants) == 2  # its results' matter


def test_scores_come_from_the_one_token() -> None:
    values = np.array([0.5, -1.25], "<f4").tobytes()
    assert score.scores([Token(id=0, text="a", logits=values)]) == [0.5, -1.25]
    assert score.scores([Token(id=0, text="a")]) == score.scores([]) == []
    assert score.scores([Token(id=0, text="a", logits=np.array([np.nan], "<f4").tobytes())]) == []


# real fleets

slow = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def session(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Session]:
    session = Session(PluginHost(), logs=tmp_path_factory.mktemp("logs"), launcher=Lent(launcher))
    await session.warm()
    yield session
    await session.close()


class TestRuns:
    pytestmark = slow

    def file(self, tmp_path: Path) -> str:
        for seed in range(3):
            paint(tmp_path / f"{seed}.png", seed=seed)
        lines: list[dict[str, str]] = [
            {"id": f"i{seed}", "image": f"{seed}.png", "label": "class"} for seed in range(3)
        ]
        lines.insert(1, {"id": "gone", "image": "gone.png"})
        lines.insert(2, {"id": "text", "prompt": "a word"})
        (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, lines)))
        return str(tmp_path / "p.jsonl")

    async def test_a_run_scores_images_like_text(self, session: Session, model: str, tmp_path: Path) -> None:
        request = await ask("plain", "mpc-crypten", "split", model=model, file=self.file(tmp_path))
        record = await session.run(request, lambda notice: None)
        assert faults(record) == [] and from_json(to_json(record)) == record
        assert record.model is not None and record.model.classes == [f"class {n}" for n in range(5)]
        found = {(each.variant, each.prompt_id): each for each in record.results}
        for name in ("i0", "i1", "i2"):
            plain, mpc, split = (found[variant, name] for variant in ("plain", "mpc-crypten", "split"))
            assert plain.answer is not None and mpc.answer is not None and len(plain.answer.scores) == 5
            assert plain.answer.token_ids == [int(np.argmax(plain.answer.scores))] == mpc.answer.token_ids
            assert mpc.fidelity.token_agreement == 1 and 0 < (mpc.fidelity.max_logit_error or 0) < 1e-3
            assert np.abs(np.subtract(plain.answer.scores, mpc.answer.scores)).max() == pytest.approx(
                mpc.fidelity.max_logit_error, rel=1e-3
            )
            assert plain.utility.correct is mpc.utility.correct is not None and plain.seconds.per_token == 0
            assert split.error is not None and "backend split takes text prompts" in split.error.message
        for name in ("gone", "text"):
            error = found["plain", name].error
            assert error is not None and error.kind == "bad-input" and found["plain", name].traffic.messages == 0
        image = record.prompts[0].image
        assert image is not None and image.path == str(tmp_path / "0.png") and len(image.sha256 or "") == 64
        assert record.prompts[1].image == ImageFile(path=str(tmp_path / "gone.png"))
        row = next(rows([record]))
        assert row["prompt"] == image.path and json.loads(row["scores"]) == found["plain", "i0"].answer.scores  # type: ignore[union-attr]

    async def test_a_fleet_that_is_attached_to_is_sent_the_images(
        self, launcher: LocalLauncher, model: str, tmp_path: Path
    ) -> None:
        request = await ask(model=model, file=self.file(tmp_path))
        up = asyncio.Event()
        own = Session(PluginHost(), logs=tmp_path, launcher=Lent(launcher))
        supervisor = Supervisor("images", tmp_path / "s", Wanted(model=model, backends=("plain",)), request, own)
        serving = asyncio.create_task(supervisor.serve(lambda notice: None, up.set))
        await asyncio.wait_for(up.wait(), 60)
        try:
            attached = await AttachedFleet.reach(tmp_path / "s", "images")
            record = await attached.run(request, lambda notice: None)
            await attached.close()
        finally:
            supervisor.stop()
            await serving
        assert faults(record) == []
        assert [each.status for each in record.results] == ["ok", "failed", "failed", "ok", "ok"]
