"""`unfed-console compare`: prompts × variants, without a screen."""

from __future__ import annotations

from typing import Any

import click


@click.command(short_help="Run prompts through backends, side by side.")
@click.option("--profile", metavar="NAME_OR_FILE", help="Models, backends, options and links to begin from.")
@click.option(
    "--backend", "backends", metavar="NAME", multiple=True, help="A technique; repeatable. Default: the profile's."
)
@click.option("--prompt", "prompts", metavar="TEXT", multiple=True, help="A prompt, or an image's file; repeatable.")
@click.option(
    "--prompts",
    "file",
    metavar="FILE",
    help='JSON lines {"id", "prompt" or "image", "label"?}, or one prompt a line; - is stdin.',
)
@click.option("--model", metavar="FOLDER_OR_ID", help="A Hugging Face model; fills the slot `model`.")
@click.option("--max-new-tokens", type=click.IntRange(1), metavar="N", help="Tokens to generate at most (32).")
@click.option("--temperature", type=click.FloatRange(0), metavar="T", help="Sampling temperature; greedy without it.")
@click.option(
    "--top-p", type=click.FloatRange(0, 1, min_open=True), metavar="P", help="Nucleus that is sampled from (1)."
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), metavar="N", help="Seed of the sampling (0).")
@click.option(
    "--set", "sets", metavar="BACKEND.OPTION=VALUE", multiple=True,
    help="Set an option; repeatable. Commas sweep, `*` means every chosen backend that has the option, lists are JSON.",
)  # fmt: skip
@click.option("--links", metavar="lan|metro|wan", help="Emulate links between parties; or numbers such as 10ms,50mbit.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="Per query (120).")
@click.option(
    "--parallel",
    type=click.IntRange(1, 256),
    metavar="N",
    default=1,
    help="Queries in flight (1 keeps timings honest).",
)
@click.option("--audit", is_flag=True, help="Record what every party receives and holds.")
@click.option("--fleet", metavar="NAME", help="Use the fleet that `fleet start NAME` keeps running.")
@click.option(
    "--json", "json", metavar="OUT", help="Write the record as JSON; - is stdout, and nothing else goes there."
)
@click.option(
    "--export",
    "exports",
    metavar="FILE",
    multiple=True,
    help="Write results as FILE.csv, .parquet or .json; repeatable.",
)
@click.option("--no-save", is_flag=True, help="Do not store the record.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def compare(**flags: Any) -> int:
    """Run prompts through backends and show answers, cost, guarantee, fidelity and rewards.

    \b
    unfed-console compare --profile demo --backend plain --backend split --prompts FILE --json OUT
    unfed-console compare --model FOLDER --backend split --set split.shards=2,3 --prompt "Once upon"

    Ctrl-C ends the run and keeps the partial record; a second one ends it at once.

    Exit codes: 0 every result is ok; 1 some failed, or the record could not be written; 2 usage, or all results
    failed by bad input; 3 no fleet could start; 130 interrupted.
    """
    from .comparing import compare as run

    return run(**flags)
