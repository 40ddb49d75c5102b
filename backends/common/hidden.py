"""How hidden states travel between the nodes that run a model's layers."""

from __future__ import annotations

import torch

from unfed.plugins import UnfedError

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class Hidden:
    """Packs and checks hidden states.

    Args:
        dtype: one of `DTYPES`.
        width: the model's hidden size.
    """

    def __init__(self, dtype: str, width: int) -> None:
        self._dtype = DTYPES[dtype]
        self._width = width

    def pack(self, hidden: torch.Tensor) -> torch.Tensor:
        """[1, t, width] float32 in the type of the wire.

        Raises:
            UnfedError: values beyond what float16 can hold, which would arrive as infinity.
        """
        if self._dtype is torch.float32:
            return hidden
        packed = hidden.to(self._dtype)
        if self._dtype is torch.float16 and not packed.isfinite().all():
            raise UnfedError(
                "the model's hidden states do not fit float16", kind="role", hint="set wire_dtype to bf16 or fp32"
            )
        return packed

    def unpack(self, hidden: torch.Tensor, sender: str, tokens: int | None = None) -> torch.Tensor:
        """What `sender` sent as [1, t, width] float32; `tokens` is the t that must be, where one must.

        Raises:
            UnfedError: (`protocol`, naming the sender) another shape or type.
        """
        shape, count = hidden.shape, "t" if tokens is None else tokens
        if (
            len(shape) != 3
            or shape[0] != 1
            or shape[2] != self._width
            or not (shape[1] if tokens is None else shape[1] == tokens)
            or hidden.dtype is not self._dtype
        ):
            raise UnfedError(
                f"{sender} sent hidden states of shape {list(shape)} ({hidden.dtype}), "
                f"expected [1, {count}, {self._width}] ({self._dtype})",
                kind="protocol",
                party=sender,
            )
        return hidden if self._dtype is torch.float32 else hidden.float()
