"""Cards from folders: three families, shards, and every way a folder can be broken."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_folders import LLAMA, TENSORS, safetensors, write_model

from unfed.console.runner.headers import INDEX, SINGLE, read_header
from unfed.console.runner.models import UNLIMITED, read_card
from unfed.plugins import UnfedError


def test_card_says_what_the_files_say(tmp_path: Path) -> None:
    card = read_card(write_model(tmp_path / "tiny"))
    assert (card.name, card.folder, card.family) == ("tiny", str(tmp_path / "tiny"), "llama")
    assert (card.layers, card.hidden, card.vocab, card.context, card.tied) == (2, 4, 8, 32, False)
    assert card.parameters == 8 * 4 * 2 + 4 * 4 * 2 + 4
    assert card.tensors["model.norm.weight"] == (SINGLE, "F32", (4,))
    assert card.opened(["layers 1-1"]) == {"model.layers.1.self_attn.q_proj.weight"}


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path / "mine" / "model")
    assert read_card(tmp_path / "mine" / "model").name == "mine/model"
    assert read_card(tmp_path / "mine" / "model", "org/name").name == "org/name"
    monkeypatch.chdir(tmp_path / "mine" / "model")
    assert read_card(".").name == "mine/model" and read_card(".").folder == str(tmp_path / "mine" / "model")


FAMILIES = ("llama", "qwen2", "gpt2")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """What transformers saves, and says of it: in one process of its own, since it is slow to import."""
    folder = tmp_path_factory.mktemp("saved")
    script = f"""
import json, pathlib, sys
sys.path.insert(0, {str(Path(__file__).parent.parent / "support")!r})
import random_models
from transformers import AutoModelForCausalLM
for family in {FAMILIES!r}:
    for tied, size in ((False, "50GB"), (True, "200KB")) if family != "gpt2" else ((True, "50GB"), (True, "200KB")):
        more = {{}} if family == "gpt2" else {{"tied": tied}}
        save = getattr(random_models, "save_" + family)
        folder = save(pathlib.Path({str(folder)!r}) / family / size, shard_size=size, **more)
        model = AutoModelForCausalLM.from_pretrained(folder)
        parameters = sum(p.numel() for p in model.parameters())
        print(json.dumps([family, str(folder), tied, parameters, sorted(model.state_dict())]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return folder, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("family", FAMILIES)
def test_folders_that_transformers_saves(family: str, saved: tuple[Path, list[Any]]) -> None:
    """The files are transformers', the card is ours, and the figures must be the model's."""
    whole, told = saved
    assert [each[0] for each in told].count(family) == 2
    for _, folder, tied, parameters, names in (each for each in told if each[0] == family):
        card = read_card(folder)
        assert (card.family, card.layers, card.hidden, card.vocab, card.context) == (family, 4, 64, 320, 256)
        assert card.tied is tied and card.parameters == parameters
        assert set(card.tensors) == set(names) - ({"lm_head.weight"} if tied else set())
        parts = {card.part_of(name) for name in card.tensors}
        assert parts == {"embedding", "head", *(f"layer {index}" for index in range(4))}
    assert (whole / family / "200KB" / INDEX).is_file()


@pytest.mark.parametrize(
    ("config", "tied"),
    [
        ({"tie_word_embeddings": True}, True),
        ({"tie_word_embeddings": None}, False),
        ({"model_type": "gpt2", "tie_word_embeddings": None}, False),
        ({"model_type": "other", "tie_word_embeddings": None}, False),
    ],
)
def test_tied_is_what_config_says_or_the_tensors_show(tmp_path: Path, config: dict[str, Any], tied: bool) -> None:
    made = {**LLAMA, **config}
    made = {key: value for key, value in made.items() if value is not None}
    card = read_card(write_model(tmp_path, config=made))
    assert card.tied is (tied if "tie_word_embeddings" in made else made["model_type"] == "gpt2")


def test_other_names_nested_configs_and_no_context(tmp_path: Path) -> None:
    config = {"model_type": "odd", "text_config": {"n_layers": 3, "d_model": 5, "vocab_size": 7}}
    card = read_card(write_model(tmp_path, config=config))
    assert (card.layers, card.hidden, card.vocab, card.context) == (3, 5, 7, UNLIMITED)


def test_buffers_are_no_parameters(tmp_path: Path) -> None:
    write_model(
        tmp_path, tensors={"h.0.attn.bias": [1, 1, 4, 4], "h.0.attn.c_attn.bias": [3], "x.rotary_emb.inv_freq": [2]}
    )
    assert read_card(tmp_path).parameters == 3


# broken folders


def broken(folder: Path, name: str) -> None:
    """Take a good folder and break it as `name` says."""
    weights = folder / SINGLE
    good = weights.read_bytes()
    head = int.from_bytes(good[:8], "little")
    config = folder / "config.json"
    first = next(iter(TENSORS))
    match name:
        case "no config":
            config.unlink()
        case "config is broken":
            config.write_text('{"model_type": "llama",\n "vocab_size" 8}')
        case "config is a list":
            config.write_text("[]")
        case "config is latin-1":
            config.write_bytes(b'{"model_type": "\xff"}')
        case "no model_type":
            config.write_text("{}")
        case "no layers":
            config.write_text(json.dumps({**LLAMA, "num_hidden_layers": None}))
        case "layers is text":
            config.write_text(json.dumps({**LLAMA, "num_hidden_layers": "2"}))
        case "vocab is negative":
            config.write_text(json.dumps({**LLAMA, "vocab_size": -1}))
        case "no weights":
            weights.unlink()
        case "pytorch weights":
            weights.rename(folder / "pytorch_model.bin")
        case "several loose files":
            weights.rename(folder / "a.safetensors")
            (folder / "b.safetensors").write_bytes(good)
        case "data cut short":
            weights.write_bytes(good[:-1])
        case "header cut short":
            weights.write_bytes(good[: 8 + head // 2])
        case "length cut short":
            weights.write_bytes(good[:5])
        case "empty file":
            weights.write_bytes(b"")
        case "not safetensors":
            weights.write_bytes(b"PK\x03\x04 this is a zip file, which is something else")
        case "header is no JSON":
            weights.write_bytes((20).to_bytes(8, "little") + b"x" * 40)
        case "header is a list":
            weights.write_bytes((2).to_bytes(8, "little") + b"[]")
        case "no tensors":
            weights.write_bytes(safetensors({}))
        case "shape does not fit":
            entry = {"dtype": "F32", "shape": [8, 5], "data_offsets": [0, 128]}
            weights.write_bytes(safetensors(TENSORS, **{first: entry}))
        case "offsets run backwards":
            weights.write_bytes(
                safetensors(TENSORS, **{first: {"dtype": "F32", "shape": [8, 4], "data_offsets": [128, 0]}})
            )
        case "unknown dtype":
            weights.write_bytes(
                safetensors(TENSORS, **{first: {"dtype": "X1", "shape": [8, 4], "data_offsets": [0, 128]}})
            )
        case "entry is no object":
            weights.write_bytes(safetensors(TENSORS, **{first: 3}))
        case "index without map":
            (folder / INDEX).write_text("{}")
        case "index names a missing file":
            (folder / INDEX).write_text(json.dumps({"weight_map": {first: "model-00001-of-00002.safetensors"}}))
        case "index names a missing tensor":
            (folder / INDEX).write_text(json.dumps({"weight_map": {"model.layers.9.x": SINGLE}}))
        case "index leaves the folder":
            (folder / INDEX).write_text(json.dumps({"weight_map": {first: "../model.safetensors"}}))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no config", "has no config.json"),
        ("config is broken", "config.json, line 2: broken JSON at column 15"),
        ("config is a list", "config.json holds no JSON object"),
        ("config is latin-1", "config.json: invalid UTF-8 at byte 16"),
        ("no model_type", "names no model_type"),
        ("no layers", "does not say how many layers"),
        ("layers is text", "num_hidden_layers = '2' is no size"),
        ("vocab is negative", "vocab_size = -1 is no size"),
        ("no weights", "holds no weights"),
        ("pytorch weights", "weights as pytorch_model.bin.*convert it to safetensors"),
        ("several loose files", "several safetensors files and no model.safetensors.index.json"),
        ("data cut short", "model.safetensors is cut short: it has .* bytes of"),
        ("header cut short", "model.safetensors is cut short: its header ends beyond"),
        ("length cut short", "model.safetensors is cut short"),
        ("empty file", "model.safetensors is cut short"),
        ("not safetensors", "is no safetensors file: its header would be"),
        ("header is no JSON", "its header is not JSON"),
        ("header is a list", "its header is no JSON object"),
        ("no tensors", "without a tensor"),
        ("shape does not fit", "entry for tensor 'model.embed_tokens.weight' is broken"),
        ("offsets run backwards", "entry for tensor 'model.embed_tokens.weight' is broken"),
        ("unknown dtype", "of the type 'X1', which is not known"),
        ("entry is no object", "entry for tensor 'model.embed_tokens.weight' is broken"),
        ("index without map", "has no weight_map"),
        ("index names a missing file", "lacks model-00001-of-00002.safetensors"),
        ("index names a missing tensor", "lacks the tensor 'model.layers.9.x'"),
        ("index leaves the folder", "which is no safetensors file of this folder"),
    ],
)
def test_broken_folders_are_named(tmp_path: Path, name: str, said: str) -> None:
    folder = write_model(tmp_path / "model")
    broken(folder, name)
    with pytest.raises(UnfedError, match=said) as caught:
        read_card(folder)
    assert str(folder) in str(caught.value) and caught.value.failure.kind == "bad-input"


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(UnfedError, match="there is no model folder"):
        read_card(tmp_path / "none")


@given(st.binary(max_size=300), st.integers(0, 400))
def test_any_header_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes, length: int) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    for content in (data, length.to_bytes(8, "little") + data):
        path.write_bytes(content)
        try:
            read_header(path)
        except UnfedError as error:
            assert str(path) in str(error)


entries = st.dictionaries(
    st.text(max_size=5),
    st.one_of(
        st.none(),
        st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F32", "F4", "?", 3]),
                "shape": st.lists(st.integers(-1, 3) | st.booleans() | st.floats(), max_size=3),
                "data_offsets": st.lists(st.integers(-1, 40) | st.none(), max_size=3),
            }
        ),
    ),
    max_size=4,
)


@given(entries, st.integers(0, 50))
def test_any_entries_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, header: Any, size: int) -> None:
    path = tmp_path_factory.getbasetemp() / "entries.safetensors"
    head = json.dumps(header).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + bytes(size))
    try:
        tensors = read_header(path)
    except UnfedError as error:
        assert str(path) in str(error)
    else:
        assert set(tensors) == set(header) - {"__metadata__"}
