"""How kernels are compiled: once, then cached beside the source."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., object])


def compiled(kernel: Kernel) -> Kernel:
    """Compile `kernel` on first use; it releases the GIL. Integers are uint64 and wrap."""
    return cast(Kernel, numba.njit(cache=True, nogil=True)(kernel))
