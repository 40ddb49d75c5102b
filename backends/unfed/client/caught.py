"""Who failed a check, and what becomes of that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

from unfed.plugins import Context, Note, UnfedError

from ..integrity.messages import Verdict


class Failed(UnfedError):
    """A check that somebody failed, which is kept for whoever asks next."""


class Caught:
    """Parties that failed a check, until they are replaced; also several together, of which nobody can tell who it was.

    Args:
        folder: where proofs are kept, if anywhere.
        live: whether they are of real sessions: then they hold what was asked, and are never kept.
    """

    def __init__(self, ctx: Context, folder: str, *, live: bool = False) -> None:
        self._ctx, self._live = ctx, live
        self._folder = Path(folder).expanduser() if folder else None
        self._found: dict[tuple[str, ...], tuple[list[str], UnfedError]] = {}
        """By who was caught together, their certificates then, and what is to be said."""
        self._news: list[Note] = []

    def add(self, verdict: Verdict) -> Failed:
        """Keep the proof, and what is to be said of it."""
        if verdict.among:
            return self._add_together(verdict)
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
        failure = Failed(f"it failed a spot check: it {verdict.what}", kind="protocol", party=party, hint=hint)
        self.keep(party, failure)
        return failure

    def _add_together(self, verdict: Verdict) -> Failed:
        """Where it was one of several, the others' word is worth no more than that one's: all of them are in doubt."""
        names = f"{', '.join(verdict.among[:-1])} and {verdict.among[-1]}"
        failure = Failed(
            f"{names} failed a spot check together: they {verdict.what}; it was one of them, and nobody can tell which",
            kind="protocol",
            hint=f"replace {names}",
        )
        for party in self._keep(verdict.among, failure):
            others = " and ".join(name for name in verdict.among if name != party)
            text = f"what it did together with {others} failed a spot check, so it does not count"
            self._news.append(Note(kind="doubted", party=party, text=text))
        return failure

    def news(self) -> list[Note]:
        """Of whom nobody was told yet."""
        told, self._news = self._news, []
        return told

    def keep(self, party: str, failure: UnfedError) -> None:
        for each in self._keep((party,), failure):
            self._news.append(Note(kind="caught", party=each, text=failure.failure.message))

    def _keep(self, parties: tuple[str, ...], failure: UnfedError) -> Sequence[str]:
        """Those of whom this was not known."""
        certificates = [self._ctx.certificate(party) for party in parties]
        if self._found.get(parties, ([], None))[0] == certificates:
            return ()
        self._found[parties] = certificates, failure
        return parties

    def why(self, party: str) -> UnfedError | None:
        """Why the party is not to be used, if it was caught and is still the same; or any of those caught with it."""
        for parties, (certificates, failure) in list(self._found.items()):
            if party in parties:
                if any(self._ctx.certificate(each) == was for each, was in zip(parties, certificates, strict=True)):
                    return UnfedError.of(failure.failure)
                del self._found[parties]
        return None

    def check(self, parties: Iterable[str]) -> None:
        """Raises UnfedError naming one of these that was caught."""
        for party in parties:
            if (failure := self.why(party)) is not None:
                raise failure
