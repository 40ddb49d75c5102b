"""The demo model's corpus (WordNet 3.0 noun glosses with their lexicographer files as categories) and tokenizer."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

DEFAULT_DATA = Path("/usr/share/wordnet/data.noun")
SEPARATOR = " =>"
END_TOKEN = "<|end|>"
END_ID = 0
VOCABULARY = 2048
PROMPT_TOKENS = 110  # of a longer definition only the last tokens are kept
HELD_OUT_PERCENT = 5
SPLIT_SEED = "unfed-demo-1"
# WordNet numbers its noun lexicographer files 03 to 28; the names are those of lexnames(5WN) without "noun.".
_NAMES = (
    "tops act animal artifact attribute body cognition communication event feeling food group location motive "
    "object person phenomenon plant possession process quantity relation shape state substance time"
)
CATEGORIES = tuple(_NAMES.split())
_HYPERNYM = re.compile(r" @i? (\d{8}) n ")
_EXAMPLE = re.compile(r'[;:,]?\s*"')


@dataclass(frozen=True)
class Entry:
    """One noun synset: its definition, its category and the word for the kind of thing it is."""

    synset: str
    gloss: str
    category: str
    word: str
    held_out: bool

    @property
    def prompt(self) -> str:
        """The text the model is given."""
        return self.gloss + SEPARATOR

    def as_sentence(self) -> Entry:
        """The same entry, its definition written with a capital letter and a full stop."""
        return replace(self, gloss=f"{self.gloss[:1].upper()}{self.gloss[1:]}.")

    @property
    def answer(self) -> str:
        """The text the model should generate (the end token follows)."""
        return f" {self.category}: {self.word}"


def definition(gloss: str) -> str:
    """The gloss without its quoted usage examples."""
    head = _EXAMPLE.split(gloss.strip(), maxsplit=1)[0].strip()
    return head if len(head) > 3 else gloss.strip().strip('"')


def is_held_out(synset: str) -> bool:
    """Whether a synset belongs to the held-out split: a seeded hash of its offset decides."""
    digest = hashlib.sha256(f"{SPLIT_SEED}:{synset}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % 100 < HELD_OUT_PERCENT


def _parse(path: Path) -> Iterator[Entry]:
    with path.open(encoding="utf-8") as file:
        lines = [line for line in file if not line.startswith("  ")]  # without the licence notice at the top
    words = {line[:8]: line.split(" ", 5)[4].replace("_", " ") for line in lines}
    for line in lines:
        data, _, gloss = line.partition(" | ")
        synset, lexicographer = data.split(" ", 2)[:2]
        # The word is that of the kind the synset belongs to (its hypernym: "dog" for a breed of dog), which a
        # definition tells; the defined word itself a model of this size cannot know.
        above = _HYPERNYM.search(data)
        word = words[above[1] if above else synset]
        yield Entry(synset, definition(gloss), CATEGORIES[int(lexicographer) - 3], word, is_held_out(synset))


def load(path: Path = DEFAULT_DATA) -> tuple[list[Entry], list[Entry]]:
    """The training and the held-out entries; no training entry shares its definition with a held-out one."""
    entries = list(_parse(path))
    held_out = [entry for entry in entries if entry.held_out]
    seen = {entry.gloss.casefold() for entry in held_out}
    return [entry for entry in entries if not entry.held_out and entry.gloss.casefold() not in seen], held_out


def load_or_exit(path: Path) -> tuple[list[Entry], list[Entry]]:
    """As `load`, but a missing corpus ends the program with a message and exit code 2."""
    if not path.is_file():
        print(f"The corpus {path} is missing. On Debian or Ubuntu: apt-get install wordnet-base", file=sys.stderr)
        raise SystemExit(2)
    return load(path)


def train_tokenizer(entries: Sequence[Entry]) -> Tokenizer:
    """A byte-level BPE tokenizer of 2048 tokens; every category becomes one token, every digit stays alone."""
    tokenizer = Tokenizer(models.BPE())
    # White space counts as one space; one goes in front, so that the first word gets the same token as elsewhere.
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(left=True, right=False),
            normalizers.Prepend(" "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    texts = [entry.prompt + entry.answer for entry in entries]
    texts += [category for category in CATEGORIES for _ in range(2000)]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END_TOKEN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


@dataclass(frozen=True)
class Example:
    """One training sequence; `prompt` is the number of its tokens that belong to the prompt."""

    ids: list[int]
    prompt: int


def encode(tokenizer: Tokenizer, entries: Sequence[Entry]) -> list[Example]:
    """The entries as token sequences, each ending with the end token."""
    examples = []
    whole = tokenizer.encode_batch([entry.prompt + entry.answer for entry in entries])
    for prompt, both in zip(tokenizer.encode_batch([entry.prompt for entry in entries]), whole, strict=True):
        cut = max(0, len(prompt.ids) - PROMPT_TOKENS)
        examples.append(Example([*both.ids[cut:], END_ID], len(prompt.ids) - cut))
    return examples
