"""CrypTen, imported as the backend `mpc-crypten` imports it."""

import crypten.communicator as comm
from crypten.config import cfg
from crypten.mpc.provider.ttp_provider import TTPClient, TTPServer

from unfed.backends.mpc_crypten.library import crypten

__all__ = ["TTPClient", "TTPServer", "cfg", "comm", "crypten"]
