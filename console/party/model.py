"""The part of a model that this party may open; nothing else is read from its files."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from unfed.plugins import ModelCard, OpenedModel, UnfedError


class OpenModel:
    """See `unfed.plugins.Model`. Reads only the bytes of the tensors that are asked for (safetensors is mapped)."""

    def __init__(self, party: str, opened: OpenedModel) -> None:
        self._party = party
        self.card: ModelCard = opened.card
        self.opens = opened.opens
        self.folder = opened.card.path

    @cached_property
    def _allowed(self) -> frozenset[str]:
        return self.card.opened(self.opens)

    def tensors(self, *names: str) -> dict[str, Any]:
        from safetensors import SafetensorError, safe_open

        wanted = names or tuple(sorted(self._allowed))
        for name in wanted:
            if name not in self.card.tensors:
                raise UnfedError(f"{self.card.name} has no tensor {name!r}", kind="role", party=self._party)
            if name not in self._allowed:
                raise UnfedError(
                    f"tensor {name!r} of {self.card.name} is not opened to {self._party}",
                    kind="role",
                    party=self._party,
                    hint=f"its plan opens {', '.join(self.opens) or 'nothing'}",
                )
        found: dict[str, Any] = {}
        by_file: dict[str, list[str]] = {}
        for name in wanted:
            by_file.setdefault(self.card.tensors[name][0], []).append(name)
        for file, inside in by_file.items():
            try:
                with safe_open(self.folder / file, framework="pt") as weights:
                    for name in inside:
                        found[name] = weights.get_tensor(name)
            except (OSError, SafetensorError) as error:
                raise UnfedError(
                    f"cannot read {file} of {self.card.name}: {getattr(error, 'strerror', None) or error}",
                    kind="fleet",
                    party=self._party,
                    hint="has it changed since the run began? fetch or save the model again",
                ) from None
        return found
