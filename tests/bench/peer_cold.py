"""A process that imports what a party imports, says so, and waits: what a node would be without a fork server."""

import sys

import torch  # noqa: F401
import transformers  # noqa: F401

print(flush=True)
sys.stdin.read()
