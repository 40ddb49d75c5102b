"""What workers post to the app: the only way they touch it."""

from __future__ import annotations

import traceback

from textual.message import Message

from unfed.plugins import UnfedError

from ..results.record import Record
from ..runner.notices import Notice
from .survey import Survey, as_failure


class Heard(Message):
    """The session said something."""

    def __init__(self, notice: Notice) -> None:
        super().__init__()
        self.notice = notice


class Surveyed(Message):
    """It is known what can be run. `fresh`: the choice came with it, from a profile."""

    def __init__(self, survey: Survey, *, fresh: bool) -> None:
        super().__init__()
        self.survey, self.fresh = survey, fresh


class Over(Message):
    """A run ended: with a record, or with what went wrong."""

    def __init__(self, record: Record | None) -> None:
        super().__init__()
        self.record = record


class Wrong(Message):
    """Something failed that has no column to stand in."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = as_failure(error)
        strange = not isinstance(error, UnfedError)
        self.details = "".join(traceback.format_exception(error)) if strange else ""
