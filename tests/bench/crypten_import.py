"""Lets `import crypten` succeed under torch 2.6 and later, which lacks a module that its ONNX converter imports."""

import sys
import types

_NAME = "torch.onnx._internal.registration"


class _Registry:
    def __getattr__(self, name: str) -> None:
        raise RuntimeError("CrypTen cannot convert ONNX models under this torch")


_module = types.ModuleType(_NAME)
_module.registry = _Registry()  # type: ignore[attr-defined]
sys.modules.setdefault(_NAME, _module)
