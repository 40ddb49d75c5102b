"""`python -m unfed.console.party.fetch ID`: brings a Hugging Face model to this computer, for the console to open.

A process of its own, so that the console imports none of what it needs. Progress goes to stderr, a line at a time;
the outcome to stdout as one JSON object: `{"folder"}`, or `{"error", "hint"}` with exit status 1. It ends when its
standard input does, so that it never outlives who asked.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

PATTERNS = ("*.json", "*.safetensors", "tokenizer*", "*.model", "merges.txt", "vocab.txt")
"""Config, tokenizer and weights; never code, and no weights in other formats."""

_WHY = {
    "RepositoryNotFoundError": (
        "there is no such model on the hub, or it is private",
        "check the id; HF_TOKEN opens private ones",
    ),
    "GatedRepoError": ("the model's owner grants access on request", "ask on its page, then set HF_TOKEN"),
    "LocalEntryNotFoundError": (
        "the hub cannot be reached, and the model is not in the local cache",
        "check the connection",
    ),
    "IncompleteSnapshotError": (
        "the hub cannot be reached, and the local cache holds a part only",
        "check the connection",
    ),
    "HFValidationError": ("this is no id of a model", "ids look like ORG/NAME"),
    "ProxyError": ("the proxy refused the connection", "check HTTPS_PROXY"),
}


class Progress:
    """Stands in for a progress bar: sums up bytes, and says so once a second at most."""

    _lock = threading.RLock()
    _said = 0.0

    def __init__(self, iterable: Any = None, *_: Any, total: float | None = None, unit: str = "it", **__: Any) -> None:
        self.total, self.n, self._unit, self._iterable = total, 0.0, unit, iterable

    def __iter__(self) -> Any:
        for each in self._iterable:
            yield each
            self.update(1)

    def update(self, n: float | None = 1) -> None:
        self.n += n or 0
        if self._unit == "B" and self.total and time.monotonic() - Progress._said >= 1:
            Progress._said = time.monotonic()
            say(f"{self.n / 1e6:.1f} of {self.total / 1e6:.1f} MB")

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @classmethod
    def get_lock(cls) -> Any:
        return cls._lock

    @classmethod
    def set_lock(cls, lock: Any) -> None:
        cls._lock = lock

    def __getattr__(self, name: str) -> Any:
        """Whatever else a bar can be told (descriptions, refreshes, …) changes nothing here."""
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *_, **__: None


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def fetch(reference: str) -> dict[str, str]:
    """The outcome as it is printed."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        return {"error": "huggingface_hub is not installed", "hint": "pip install huggingface_hub"}
    try:
        folder = snapshot_download(reference, allow_patterns=list(PATTERNS), tqdm_class=Progress)
    except Exception as error:  # the library, its transport and its validators each raise their own kinds
        for kind in type(error).__mro__:
            if kind.__name__ in _WHY:
                message, hint = _WHY[kind.__name__]
                return {"error": message, "hint": hint}
        return {
            "error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}",
            "hint": "",
        }
    return {"folder": folder}


def _end_with_input() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


def main() -> int:
    if len(sys.argv) != 2:
        say("usage: python -m unfed.console.party.fetch ID")
        return 2
    threading.Thread(target=_end_with_input, daemon=True).start()
    outcome = fetch(sys.argv[1])
    print(json.dumps(outcome), flush=True)
    return 0 if "folder" in outcome else 1


if __name__ == "__main__":
    sys.exit(main())
