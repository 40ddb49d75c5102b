"""Who failed a check, and what becomes of that."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from unfed.plugins import Context, Note, UnfedError

from ..integrity.verifier import Verdict


class Caught:
    """Parties that failed a check, until they are replaced.

    Args:
        folder: where proofs are kept, if anywhere.
        live: whether they are of real sessions: then they hold what was asked, and are never kept.
    """

    def __init__(self, ctx: Context, folder: str, *, live: bool = False) -> None:
        self._ctx, self._live = ctx, live
        self._folder = Path(folder).expanduser() if folder else None
        self._found: dict[str, tuple[str, UnfedError]] = {}
        self._news: list[Note] = []

    def add(self, verdict: Verdict) -> UnfedError:
        """Keep the proof, and what is to be said of it."""
        party, hint = verdict.party, "replace it"
        if verdict.proof and self._live:
            hint = "no proof is kept, for it would hold what was asked; replace it"
        elif verdict.proof and self._folder is not None:
            path = self._folder / f"{party}-{sha256(verdict.proof).hexdigest()[:12]}.json"
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                path.write_bytes(verdict.proof)
                hint = f"unfed-console verify {path} shows it to anybody; replace {party}"
            except OSError as error:
                hint = f"the proof could not be kept in {self._folder}: {error.strerror}"
        elif verdict.proof:
            hint = "the option proofs names a folder where proofs are kept; replace it"
        failure = UnfedError(f"it failed a spot check: it {verdict.what}", kind="protocol", party=party, hint=hint)
        return self.keep(party, failure)

    def news(self) -> list[Note]:
        """Of whom nobody was told yet."""
        told, self._news = self._news, []
        return told

    def keep(self, party: str, failure: UnfedError) -> UnfedError:
        certificate = self._ctx.certificate(party)
        if self._found.get(party, ("", None))[0] != certificate:  # or it is known already
            self._found[party] = certificate, failure
            self._news.append(Note(kind="caught", party=party, text=failure.failure.message))
        return failure

    def why(self, party: str) -> UnfedError | None:
        """Why the party is not to be used, if it was caught and is still the same."""
        certificate, failure = self._found.get(party, ("", None))
        if failure is None or self._ctx.certificate(party) != certificate:
            self._found.pop(party, None)
            return None
        return UnfedError.of(failure.failure)

    def check(self, parties: Iterable[str]) -> None:
        """Raises UnfedError naming one of these that was caught."""
        for party in parties:
            if (failure := self.why(party)) is not None:
                raise failure
