"""CrypTen itself, imported so that it works on today's torch. Parties alone import this."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any

REGISTRATION = "torch.onnx._internal.registration"


class _Registry:
    """Stands in for torch's registry of ONNX operators, which is no more; CrypTen's converter, unused here, asks."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"this is a stand-in: {REGISTRATION} no longer exists, and models are not converted here")


def _import() -> Any:
    if REGISTRATION not in sys.modules and importlib.util.find_spec(REGISTRATION) is None:
        stand_in: Any = ModuleType(REGISTRATION)
        stand_in.registry = _Registry()
        sys.modules[REGISTRATION] = stand_in
    import crypten

    crypten.set_grad_enabled(False)
    return crypten


crypten = _import()

import crypten.communicator as communicators  # noqa: E402
import crypten.mpc.primitives.arithmetic as arithmetic  # noqa: E402
import crypten.mpc.primitives.binary as binary  # noqa: E402
import crypten.mpc.provider.ttp_provider as ttp  # noqa: E402
from crypten.common import rng  # noqa: E402
from crypten.config import cfg  # noqa: E402
from omegaconf import OmegaConf  # noqa: E402

MPCTensor: Any = crypten.mpc.MPCTensor
DistributedCommunicator: Any = communicators.DistributedCommunicator
TTPClient: Any = ttp.TTPClient
TTPServer: Any = ttp.TTPServer

__all__ = [
    "DistributedCommunicator",
    "MPCTensor",
    "OmegaConf",
    "TTPClient",
    "TTPServer",
    "arithmetic",
    "binary",
    "cfg",
    "communicators",
    "crypten",
    "rng",
    "ttp",
]
