"""The conformance kit: starts a real fleet of a backend and checks that it keeps the contract.

For a test suite:

    from unfed.plugins.conformance import conformance_tests

    class TestEcho(conformance_tests("echo")): ...

and on the command line: `python -m unfed.plugins.conformance echo`.
"""

from .checks import CHECKS
from .kit import Kit, check_backend, run_checks
from .lab import Fleet, Lab
from .outcome import NonConforming, Outcome
from .testing import conformance_tests

__all__ = [
    "CHECKS",
    "Fleet",
    "Kit",
    "Lab",
    "NonConforming",
    "Outcome",
    "check_backend",
    "conformance_tests",
    "run_checks",
]
