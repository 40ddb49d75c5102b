"""Measures the demo model: how often the first word it generates is the right category.

    python profiles/demo_training/evaluate.py --model profiles/demo/model

It generates greedily for every held-out WordNet definition (never trained on), for the same definitions written as
sentences, and for the prompts of a JSON Lines file such as profiles/demo/prompts.jsonl. A category is right when the
first generated word, casefolded and without punctuation, equals it.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from corpus import (  # type: ignore[import-not-found, unused-ignore]  # found beside this script when it is run
    CATEGORIES,
    DEFAULT_DATA,
    SEPARATOR,
    load_or_exit,
)
from transformers import AutoModelForCausalLM, AutoTokenizer

NEW_TOKENS = 24
BATCH = 128


@dataclass(frozen=True)
class Answer:
    """What the model generated for one prompt."""

    text: str
    ended: bool

    @property
    def category(self) -> str:
        """The first generated word, casefolded, letters only."""
        words = self.text.split()
        return "".join(letter for letter in words[0].casefold() if letter.isalpha()) if words else ""


class Answerer:
    """A model folder, answering prompts greedily until one of its end tokens."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._model: Any = AutoModelForCausalLM.from_pretrained(folder)
        self._model.eval()  # type: ignore[no-untyped-call, unused-ignore]
        self.parameters: int = sum(parameter.numel() for parameter in self._model.parameters())
        configured = self._model.generation_config.eos_token_id
        self._ends: set[int] = {configured} if isinstance(configured, int) else set(configured)

    def answers(self, prompts: Sequence[str]) -> list[Answer]:
        """The answers in the order of the prompts; prompts of one length share a batch, so nothing is padded."""
        by_length: defaultdict[int, list[tuple[int, list[int]]]] = defaultdict(list)
        for index, prompt in enumerate(prompts):
            ids: list[int] = self._tokenizer(prompt)["input_ids"]
            by_length[len(ids)].append((index, ids))
        found: dict[int, Answer] = {}
        for group in by_length.values():
            for start in range(0, len(group), BATCH):
                batch = group[start : start + BATCH]
                inputs = torch.tensor([prompt_ids for _, prompt_ids in batch])
                output = self._model.generate(
                    inputs, attention_mask=torch.ones_like(inputs), do_sample=False, max_new_tokens=NEW_TOKENS
                )
                for (index, prompt_ids), row in zip(batch, output.tolist(), strict=True):
                    new = row[len(prompt_ids) :]
                    stop = next((at for at, token in enumerate(new) if token in self._ends), len(new))
                    found[index] = Answer(self._tokenizer.decode(new[:stop]).strip(), stop < len(new))
        return [found[index] for index in range(len(prompts))]


def report(title: str, labels: Sequence[str], answers: Sequence[Answer]) -> None:
    """Prints the share of right categories, overall and per category, as Markdown."""
    right = [answer.category == label for label, answer in zip(labels, answers, strict=True)]
    ended = sum(answer.ended for answer in answers)
    print(f"\n{title}: {sum(right)} of {len(right)} right ({sum(right) / len(right):.1%})")
    print(f"{ended} of {len(right)} answers ended with the end token within {NEW_TOKENS} tokens\n")
    total, good = Counter(labels), Counter(label for label, hit in zip(labels, right, strict=True) if hit)
    recalls = [good[label] / total[label] for label in total]
    print(f"Mean over the {len(total)} categories present: {sum(recalls) / len(recalls):.1%}\n")
    print("| category | entries | right | share |\n|---|---:|---:|---:|")
    for label in sorted(total, key=lambda name: CATEGORIES.index(name)):
        print(f"| {label} | {total[label]} | {good[label]} | {good[label] / total[label]:.0%} |")


def main() -> None:
    """Evaluates a model folder on the held-out split and on a prompts file."""
    here = Path(__file__).resolve().parent.parent / "demo"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=here / "model", help="model folder")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="WordNet's data.noun")
    parser.add_argument("--prompts", type=Path, default=here / "prompts.jsonl", help="a JSON Lines file of prompts")
    parser.add_argument("--show", action="store_true", help="print every answer to the prompts file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    _, held_out = load_or_exit(arguments.data)
    answerer = Answerer(arguments.model)
    print(f"{answerer.parameters:,} parameters")
    answers = answerer.answers([entry.prompt for entry in held_out])
    report("Held-out definitions", [entry.category for entry in held_out], answers)
    said = [entry.answer.strip() == answer.text for entry, answer in zip(held_out, answers, strict=True)]
    print(f"\nThe whole answer, word included: {sum(said)} right ({sum(said) / len(said):.1%})")
    sentences = answerer.answers([entry.as_sentence().prompt for entry in held_out])
    hits = sum(entry.category == answer.category for entry, answer in zip(held_out, sentences, strict=True))
    print(f"Written with a capital letter and a full stop: {hits} right ({hits / len(held_out):.1%})")
    if arguments.prompts.is_file():
        lines = [json.loads(line) for line in arguments.prompts.read_text(encoding="utf-8").splitlines() if line]
        answers = answerer.answers([line["prompt"] + SEPARATOR for line in lines])
        report(f"Prompts of {arguments.prompts.name}", [line["label"] for line in lines], answers)
        if arguments.show:
            for line, answer in zip(lines, answers, strict=True):
                print(f"{line['id']} [{line['label']}] {line['prompt']} => {answer.text}")


if __name__ == "__main__":
    main()
