"""What the parties of `unfed` are called. Imports nothing heavy."""

from __future__ import annotations

GUARD = "guard"
ENTRIES = ("entry-0", "entry-1")
FIRST = "layers-0"
DEALER = "dealer"
VERIFIER = "verifier"
DECOYS = "decoys.jsonl"
"""The file beside a model that holds texts like those that it is asked."""
