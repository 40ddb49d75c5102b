"""An image as a query, and whether a query fits the models that it is asked of."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from .errors import UnfedError

if TYPE_CHECKING:
    import numpy as np

    from .models import ModelCard

QueryKind = Literal["text", "image"]
"""What a query holds, and so what a model or a backend takes."""


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """An image.

    Attributes:
        shape: channels, height, width.
        pixels: float32, little-endian, row by row of each channel, from 0 (dark) to 1.
    """

    shape: tuple[int, int, int]
    pixels: bytes

    def numpy(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The pixels [channels, height, width]; read-only."""
        import numpy as np

        return np.frombuffer(self.pixels, dtype="<f4").reshape(self.shape)

    @property
    def size(self) -> str:
        """The shape in words."""
        return "×".join(map(str, self.shape))

    @property
    def fault(self) -> str | None:
        """What is wrong with the pixels; None where nothing is."""
        import numpy as np

        if min(self.shape) < 1 or len(self.pixels) != 4 * math.prod(self.shape):
            return f"{len(self.pixels)} bytes of pixels are no image of {self.size}"
        values = np.frombuffer(self.pixels, dtype="<f4")
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            return "its pixels are not all from 0 to 1"
        return None


def misfit(image: Image | None, cards: Iterable[ModelCard]) -> UnfedError | None:
    """Why a query cannot be asked of these models; None where it can.

    Args:
        image: what it holds; None where it holds text.
        cards: of the models that are to answer it.
    """
    listed = list(cards)
    pictured = next((card for card in listed if card.takes == "image"), None)
    if image is None:
        if pictured is None:
            return None
        return UnfedError(
            f"the prompt is text, and {pictured.name} takes images",
            hint='give an image: {"id": "…", "image": "FILE.png"}',
        )
    if pictured is None:
        who = listed[0].name if listed else "this backend"
        return UnfedError(
            f"the prompt is an image, and {who} takes text", hint="use a model of images, as --profile digits does"
        )
    if image.shape != pictured.input:
        wanted = "×".join(map(str, pictured.input))
        return UnfedError(
            f"the image has the size {image.size}, and {pictured.name} takes {wanted}", hint="channels × height × width"
        )
    return UnfedError(f"the image is broken: {image.fault}") if image.fault else None
