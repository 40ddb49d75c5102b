"""Writes the demo model's decoys.jsonl: held-out definitions, templates included, that no prompts file of ours asks.

python profiles/demo_training/decoys.py --out profiles/demo/model/decoys.jsonl
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

from corpus import DEFAULT_DATA, load_or_exit

SEED = "unfed-demo-decoys-1"


def main() -> None:
    """Picks definitions by a seeded hash, so that the file can be made again."""
    here = Path(__file__).resolve().parent.parent / "demo"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="WordNet's data.noun")
    parser.add_argument("--count", type=int, default=500)
    arguments = parser.parse_args()
    lines = (here / "prompts.jsonl").read_text(encoding="utf-8").splitlines()
    asked = {json.loads(line)["prompt"].casefold() for line in lines if line}
    _, held_out = load_or_exit(arguments.data)
    prompts = dict.fromkeys(entry.prompt for entry in held_out if entry.gloss.casefold() not in asked)
    picked = sorted(prompts, key=lambda prompt: hashlib.sha256(f"{SEED}:{prompt}".encode()).digest())[: arguments.count]
    with arguments.out.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"prompt": prompt}, ensure_ascii=False) + "\n" for prompt in picked)
    print(f"{len(picked)} of {len(held_out)} held-out definitions")


if __name__ == "__main__":
    main()
