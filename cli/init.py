"""`learnalign init`: a commented config for a pool, by looking at its columns and values."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from learnalign.errors import InputError, counted

from .common import Json, check_option, print_json

if TYPE_CHECKING:
    from learnalign.draft import Draft

Source = Annotated[
    str, typer.Argument(metavar="FILE|NAME", help="The pool: a file, a directory or a hub name.", show_default=False)
]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="CONFIG", help="The config to write; default: named after the pool, here."),
]
Model = Annotated[
    str, typer.Option("--model", metavar="NAME", help="The model to be trained: a directory or hub name.")
]
Name = Annotated[str | None, typer.Option("--name", metavar="NAME", help="Configuration of a hub data set.")]
Split = Annotated[str, typer.Option("--split", metavar="NAME", help="Split of a hub data set.")]


def init(
    source: Source,
    output: Output = None,
    model: Model = "Qwen/Qwen2.5-1.5B-Instruct",
    name: Name = None,
    split: Split = "train",
    as_json: Json = False,
) -> None:
    """Write a commented config for a pool, by looking at its columns, and show three rows as the policy will see them."""
    file = output or _named_after(source)
    if file.exists():
        raise InputError(f"{file} is there already; give another name with -o, or delete it")
    check_option(file, as_json)
    from learnalign.draft import draft
    from learnalign.outputs import open_output

    made = draft(source, model, name, split)
    with open_output(file) as config:
        config.write(made.text.encode())
    if as_json:
        print_json({"config": file, "data": made.guess.data, **_facts(made)})
    else:
        _show(made, file)


def _named_after(source: str) -> Path:
    """pool.yaml for pool.jsonl.gz, gsm8k.yaml for openai/gsm8k, in the current directory: the pool's may not be the user's."""
    name = Path(source).expanduser().name
    stem = re.sub(r"\.(jsonl?|csv|parquet)(\.(gz|zst))?$", "", name, flags=re.IGNORECASE)
    return Path(f"{stem or 'pool'}.yaml")


def _facts(made: Draft) -> dict[str, object]:
    return {
        "shape": made.guess.shape,
        "verifier": made.guess.verifier,
        "prompts": made.prompts,
        "rows": [asdict(row) for row in made.rows],
        "notes": made.notes,
    }


def _show(made: Draft, file: Path) -> None:
    """The rows, what was guessed, and what to do next."""
    for number, row in enumerate(made.rows, 1):
        print(f"--- prompt {number} of {made.prompts:,}\n{row.prompt}")
        print(
            f"--- gold {number}: {row.gold!r}"
            + (f", which the verifier cannot use: {row.reason}" if row.reason else "")
        )
    print()
    for note in made.notes:
        print(note)
    kind = "code tasks" if made.guess.verifier == "code" else "no known shape"
    shape = f"the shape of {made.guess.shape}" if made.guess.shape else f"{kind}; look at the rows above"
    print(f"{counted(made.prompts, 'prompt')}, {shape}; verifier {made.guess.verifier}")
    print(f"config: {file}\nnext: learnalign run runs/{file.stem} --config {file} --dry-run")
