"""What an operator runs: command line, app, runner, fleet and results. Only `console.party` may import torch."""

__version__ = "0.1.0"
