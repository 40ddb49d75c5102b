"""One workshop for all tests of the kit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from workshop import DEMO, Workshop

from unfed.plugins import ModelCard


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    shop = Workshop(tmp_path_factory.mktemp("workshop"))
    yield shop
    shop.close()


@pytest.fixture(scope="session")
def demo_card(workshop: Workshop) -> ModelCard:
    return workshop.card(DEMO)
