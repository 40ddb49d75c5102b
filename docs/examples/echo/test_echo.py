"""All that the contract asks of `echo`, on real fleets."""

from unfed.plugins.conformance import check_backend, conformance_tests


class TestEcho(conformance_tests("echo", options={"delay": 0.02})):
    """One test for each check; the fleet is started once."""


def test_it_says_so_when_it_hides_nothing():
    check_backend("echo", options={"masked": False}, only=["guarantee", "canaries"])
