"""Reads what safetensors files hold from their headers alone, and finds files that are not whole."""

from __future__ import annotations

import json
import math
import stat
from pathlib import Path
from typing import Any

from unfed.plugins import UnfedError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
MAX_HEADER = 100_000_000
"""Bytes; the format's own limit."""

BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip

Tensors = dict[str, tuple[str, str, tuple[int, ...]]]
"""A tensor's name → (file, dtype, shape)."""


def read_tensors(folder: Path) -> Tensors:
    """Every tensor of a model folder; no weight is read.

    Raises:
        UnfedError: no weights, weights of another format, or a file that is missing, cut short or broken.
    """
    if (folder / INDEX).is_file():
        return _sharded(folder)
    if (folder / SINGLE).is_file():
        return read_header(folder / SINGLE)
    loose = sorted(path.name for path in folder.glob("*.safetensors"))
    if len(loose) == 1:
        return read_header(folder / loose[0])
    if loose:
        raise UnfedError(
            f"{folder} holds several safetensors files and no {INDEX}", hint="save the model anew with save_pretrained"
        )
    if others := sorted(
        path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.h5", "*.gguf") for path in folder.glob(pattern)
    ):
        raise UnfedError(
            f"{folder} holds its weights as {others[0]}, which is not opened part by part",
            hint="convert it to safetensors: AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW)",
        )
    raise UnfedError(f"{folder} holds no weights", hint=f"a model folder has config.json and {SINGLE}")


def read_header(path: Path) -> Tensors:
    """The tensors of one file.

    Raises:
        UnfedError: it is no regular file, is cut short, or its header is not one.
    """
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # opening a FIFO would wait for a writer
            raise UnfedError(f"{path} is no regular file", hint=_AGAIN)
        size = about.st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > size - 8:
                if size >= 8 and length > MAX_HEADER:
                    raise UnfedError(f"{path} is no safetensors file: its header would be {length:,} bytes long")
                raise UnfedError(f"{path} is cut short: its header ends beyond the file's {size:,} bytes", hint=_AGAIN)
            if length > MAX_HEADER:
                raise UnfedError(f"{path} is no safetensors file: its header would be {length:,} bytes long")
            raw = file.read(length)
    except OSError as error:
        raise UnfedError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        header: Any = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise UnfedError(f"{path} is no safetensors file: its header is not JSON", hint=_AGAIN) from error
    if not isinstance(header, dict):
        raise UnfedError(f"{path} is no safetensors file: its header is no JSON object", hint=_AGAIN)
    header.pop("__metadata__", None)
    tensors: Tensors = {}
    end = 0
    for name, entry in header.items():
        dtype, shape, last = _entry(path, name, entry)
        tensors[name] = (path.name, dtype, shape)
        end = max(end, last)
    if end > size - 8 - length:
        raise UnfedError(f"{path} is cut short: it has {size:,} bytes of {end + 8 + length:,}", hint=_AGAIN)
    return tensors


_AGAIN = "fetch or save the model again"


def _entry(path: Path, name: str, entry: Any) -> tuple[str, tuple[int, ...], int]:
    """Dtype, shape and end (within the data) of one tensor, checked against one another."""
    broken = UnfedError(f"{path}: the header's entry for tensor {name!r} is broken", hint=_AGAIN)
    try:
        dtype, shape, (first, last) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (KeyError, TypeError, ValueError):
        raise broken from None
    if not (isinstance(dtype, str) and isinstance(shape, list)) or any(
        not _count(each) for each in (*shape, first, last)
    ):
        raise broken
    if dtype not in BITS:
        raise UnfedError(f"{path}: tensor {name!r} is of the type {dtype!r}, which is not known here")
    if last - first != (math.prod(shape) * BITS[dtype] + 7) // 8:
        raise broken
    return dtype, tuple(shape), last


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _sharded(folder: Path) -> Tensors:
    """The tensors that the index names, each checked against the file it is said to lie in."""
    index = read_json(folder / INDEX)
    places = index.get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(file, str) for file in places.values()):
        raise UnfedError(f"{folder / INDEX} has no weight_map", hint=_AGAIN)
    tensors: Tensors = {}
    for file in sorted(set(places.values())):
        if file != Path(file).name or not file.endswith(".safetensors"):
            raise UnfedError(f"{folder / INDEX} names {file!r}, which is no safetensors file of this folder")
        if not (folder / file).is_file():
            raise UnfedError(f"{folder} lacks {file}, one of its weight files", hint=_AGAIN)
        tensors.update(read_header(folder / file))
    for name, file in places.items():
        if tensors.get(name, ("",))[0] != file:
            raise UnfedError(f"{folder / file} lacks the tensor {name!r} that the index says it holds", hint=_AGAIN)
    return {name: tensors[name] for name in places}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        UnfedError: the file is unreadable or holds none, naming the line.
    """
    try:
        found: Any = json.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise UnfedError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UnfedError(f"{path}: invalid UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise UnfedError(f"{path}, line {error.lineno}: broken JSON at column {error.colno}: {error.msg}") from error
    except (RecursionError, ValueError) as error:
        raise UnfedError(f"{path}: JSON that cannot be read") from error
    if not isinstance(found, dict):
        raise UnfedError(f"{path} holds no JSON object")
    return found
