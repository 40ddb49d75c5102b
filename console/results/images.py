"""Reads an image that a prompt names: an 8-bit PNG, grey or RGB, or a NumPy array."""

from __future__ import annotations

import hashlib
import io
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unfed.plugins import Image, UnfedError
from unfed.plugins.classifier import MAX_PIXELS

if TYPE_CHECKING:
    import numpy as np

MAX_FILE = 16 << 20
"""Bytes from which on a file is refused."""
_NPY = b"\x93NUMPY"
_PNG = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {"L": 1, "RGB": 3}


def read_image(path: Path | str) -> tuple[Image, str]:
    """The image in a file, and the file's SHA-256 in hexadecimal.

    An array is [height, width] or [channels, height, width]: whole numbers from 0 to 255, or floats from 0 to 1.
    Nothing is scaled to another size.

    Raises:
        UnfedError: no such file, or none that holds such an image.
    """
    data = _read(path)
    if data.startswith(_PNG):
        values = _png(data, path)
    elif data.startswith(_NPY):
        values = _npy(data, path)
    else:
        raise UnfedError(f"{path} is no image", hint="give an 8-bit PNG, grey or RGB, or a .npy file")
    image = Image(shape=values.shape, pixels=values.astype("<f4").tobytes())
    if image.fault:
        raise UnfedError(f"{path}: {image.fault}")
    return image, hashlib.sha256(data).hexdigest()


def _read(path: Path | str) -> bytes:
    try:
        about = Path(path).stat()
        if not stat.S_ISREG(about.st_mode):  # opening a FIFO would wait for a writer
            raise UnfedError(f"{path} is no regular file", hint="name an image")
        if about.st_size >= MAX_FILE:
            raise UnfedError(f"{path} is too large for an image: {about.st_size:,} bytes")
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL byte
        raise UnfedError(f"cannot read the image {path}: {getattr(error, 'strerror', None) or error}") from error


def _png(data: bytes, path: Path | str) -> np.ndarray[Any, Any]:
    """[channels, height, width] from 0 to 1."""
    import numpy as np
    from PIL import Image as Pillow

    try:
        with Pillow.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise UnfedError(f"{path} is too large for an image: {picture.width}×{picture.height} pixels")
            if picture.mode not in _CHANNELS:
                raise UnfedError(
                    f"{path} is a PNG of another kind ({picture.mode})",
                    hint="save it as 8-bit grey or RGB, not transparent",
                )
            values = np.asarray(picture, dtype=np.float32) / np.float32(255)
            return values.reshape(picture.height, picture.width, _CHANNELS[picture.mode]).transpose(2, 0, 1)
    except UnfedError:
        raise
    except Exception as error:  # a broken file raises what its decoder likes
        raise UnfedError(f"{path} is a broken PNG ({type(error).__name__})") from error


def _npy(data: bytes, path: Path | str) -> np.ndarray[Any, Any]:
    """[channels, height, width] from 0 to 1, as far as the array is."""
    import numpy as np

    try:
        values = np.load(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # a broken file raises what NumPy likes
        raise UnfedError(f"{path} is a broken .npy file ({type(error).__name__})") from error
    if values.ndim == 2:
        values = values[None]
    if values.ndim != 3 or not 0 < values.size <= MAX_PIXELS or values.dtype.kind not in "fiu":
        raise UnfedError(f"{path} holds {values.dtype} {list(values.shape)}, which is no image", hint="[height, width]")
    scaled: np.ndarray[Any, Any] = values.astype(np.float32)
    return scaled if values.dtype.kind == "f" else scaled / np.float32(255)
