"""Images that prompts name: what is read, and what is refused."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from unfed.console.results.images import MAX_FILE, read_image
from unfed.console.results.prompts import parse_prompts, read_prompts
from unfed.console.results.record import ImageFile, Prompt
from unfed.plugins import UnfedError

GREY = np.array([[0, 51, 255], [102, 153, 204]], np.uint8)


def png(values: np.ndarray[Any, Any], mode: str | None = None) -> bytes:
    file = io.BytesIO()
    picture = Pillow.fromarray(values)
    (picture.convert(mode) if mode else picture).save(file, "PNG")
    return file.getvalue()


def npy(values: Any, **settings: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, values, **settings)
    return file.getvalue()


def test_a_grey_png_is_its_pixels_from_0_to_1(tmp_path: Path) -> None:
    data = png(GREY)
    (tmp_path / "a.png").write_bytes(data)
    image, digest = read_image(tmp_path / "a.png")
    assert image.shape == (1, 2, 3) and digest == hashlib.sha256(data).hexdigest()
    assert np.allclose(image.numpy()[0], [[0, 0.2, 1], [0.4, 0.6, 0.8]])


def test_a_colour_png_has_three_channels(tmp_path: Path) -> None:
    colours = np.stack([GREY, GREY // 3, 255 - GREY], -1)
    (tmp_path / "a.png").write_bytes(png(colours))
    image, _ = read_image(tmp_path / "a.png")
    assert image.shape == (3, 2, 3)
    assert np.array_equal(np.rint(image.numpy() * 255), colours.transpose(2, 0, 1))


@pytest.mark.parametrize("values", [GREY, GREY[None], GREY / 255, (GREY / 255).astype(np.float16)])
def test_an_array_is_read_as_the_same_image(tmp_path: Path, values: np.ndarray[Any, Any]) -> None:
    (tmp_path / "a.npy").write_bytes(npy(values))
    image, _ = read_image(tmp_path / "a.npy")
    assert image.shape == (1, 2, 3) and np.allclose(image.numpy()[0] * 255, GREY, atol=0.1)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is no image"),
        (b"GIF89a", "is no image"),
        (png(GREY)[:40], "broken PNG"),
        (png(GREY, "RGBA"), r"another kind \(RGBA\)"),
        (png(GREY, "1"), r"another kind \(1\)"),
        (npy(GREY)[:60], "broken .npy"),
        (npy(np.array([{}], object), allow_pickle=True), "broken .npy"),
        (npy(GREY / 100), "not all from 0 to 1"),
        (npy(np.full((2, 2), np.nan)), "not all from 0 to 1"),
        (npy(np.zeros(4)), "which is no image"),
        (npy(np.zeros((2, 0))), "which is no image"),
        (npy(np.zeros((2, 2), complex)), "which is no image"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(UnfedError, match=said) as caught:
        read_image(tmp_path / "a")
    assert caught.value.failure.kind == "bad-input" and str(tmp_path / "a") in str(caught.value)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MAX_FILE)
    named = {"none.png": "No such file", "pipe": "no regular file", "large": "too large", "": "no regular file"}
    for name, said in named.items():
        with pytest.raises(UnfedError, match=said):
            read_image(tmp_path / name)
    with pytest.raises(UnfedError, match="cannot read the image"):
        read_image("nul\0byte")


def test_prompts_name_images_beside_their_file(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text('{"id": "a", "image": "x/a.png", "label": "7"}\n{"id": "b", "prompt": "text"}\n')
    assert read_prompts(file) == (
        Prompt(id="a", image=ImageFile(path=str(tmp_path / "x/a.png")), label="7"),
        Prompt(id="b", prompt="text"),
    )
    asked = parse_prompts(io.BytesIO(b'{"id": "a", "image": "/x/a.png"}'), "standard input")[0]
    assert asked.image == ImageFile(path="/x/a.png") and asked.shown == "/x/a.png"
    assert parse_prompts(io.BytesIO(b'{"id": "a", "image": "a.png"}'), "standard input")[0].shown == "a.png"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": "a", "image": "a.png", "prompt": "b"}', "holds a prompt and an image"),
        ('{"id": "a", "image": 7}', "the image is not a string"),
        ('{"id": "a", "image": " "}', "the prompt is empty"),
        ('{"id": "a", "image": "a\\u0000b"}', "the image holds a NUL"),
        ('{"id": "a"}', "there is no 'prompt'"),
    ],
)
def test_lines_that_name_no_image(line: str, said: str) -> None:
    with pytest.raises(UnfedError, match=said):
        parse_prompts(io.BytesIO(line.encode()), "f.jsonl")
