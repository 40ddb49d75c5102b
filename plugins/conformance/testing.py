"""The kit as a class of pytest tests, one for each check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..backend import Backend
from .checks import CHECKS, title
from .kit import Kit


def conformance_tests(backend: str | type[Backend], **settings: Any) -> type:
    """A class with one test for each check, to be subclassed or named `Test…` in a test module.

    The fleets that tests share are started once per class. A check that does not apply is skipped.

    Args:
        settings: as `Kit` takes them.
    """
    import pytest

    def unfed_kit(self: object) -> Iterator[Kit]:
        with Kit(backend, **settings) as kit:
            yield kit

    members: dict[str, Any] = {
        "__doc__": f"Conformance of backend {backend if isinstance(backend, str) else backend.name}.",
        "unfed_kit": pytest.fixture(scope="class")(unfed_kit),
    }
    for name in CHECKS:
        members[f"test_{name.replace('-', '_')}"] = _test(name, pytest.skip, pytest.fail)
    return type("Conformance", (), members)


def _test(name: str, skip: Callable[[str], Any], fail: Callable[..., Any]) -> Callable[..., None]:
    def test(self: object, unfed_kit: Kit) -> None:
        outcome = unfed_kit.check(name)
        if outcome.status == "n/a":
            skip(outcome.detail)
        elif outcome.status == "fail":
            fail(f"{outcome.title}\n{outcome.detail}", pytrace=False)

    test.__doc__ = title(name)
    return test
