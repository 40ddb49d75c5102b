"""Variants: one backend with one set of options each; a sweep makes several."""

from __future__ import annotations

from typing import Any

import msgspec

from unfed.plugins import Backend, Options


class Variant(msgspec.Struct, frozen=True):
    """`id` is the backend's name, followed by the swept options where there are several: `split[shards=2]`."""

    id: str
    backend: type[Backend]
    options: Options

    @property
    def settings(self) -> dict[str, Any]:
        """The options as JSON-able values."""
        return self.options.model_dump(mode="json")
