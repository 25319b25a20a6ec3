"""`learnalign compare`: the methods' subsets side by side; gradient norm against response length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from learnalign.errors import InputError, counted

from .common import Dir, Json, Trust, as_size, print_json, print_table, table_width

if TYPE_CHECKING:
    from learnalign.rundir import RunDir
    from learnalign.selection import Comparison, Norms

Size = Annotated[
    str | None, typer.Option("-n", "--size", metavar="N", help="Prompts per method, or a fraction of the pool.")
]
NormsOnly = Annotated[
    bool,
    typer.Option(
        "--norms",
        help="Show gradient norm against response length instead (LearnAlign, Fig. 3a): DIR/norms.csv, a plot, Spearman's ρ.",
    ),
]


def compare(
    directory: Dir, size: Size = None, norms: NormsOnly = False, trust: Trust = False, as_json: Json = False
) -> None:
    """Show how the methods' subsets overlap and differ in success rate, length and difficulty.

    Every method whose inputs exist takes part; methods without scores are scored first.
    """
    from learnalign.rundir import RunDir
    from learnalign.selection import compare as compare_methods

    count = as_size(size)
    if norms:
        _compare_norms(RunDir.open(directory, trust=trust), count, as_json)
        return
    comparison = compare_methods(RunDir.open(directory, trust=trust), count)
    if as_json:
        print_json({"run": str(directory), **comparison.as_json()})
    else:
        _show(comparison)


def _compare_norms(run: RunDir, size: float | None, as_json: bool) -> None:
    from learnalign.report import plot_norms
    from learnalign.selection import gradient_norms

    if size is not None:
        raise InputError(
            "-n chooses prompts by method, --norms takes every prompt that has a gradient; give one of them"
        )
    norms = gradient_norms(run)
    plot = plot_norms(norms)
    if as_json:
        print_json({"run": str(run.path), **norms.as_json(), "plot": plot})
        return
    print_table("gradient norm by response length", ["tokens", "prompts", "median norm", "mean p"], _quarters(norms))
    rho = "undefined: one of them is constant" if norms.spearman is None else f"{norms.spearman:.3f}"
    print(f"Spearman's ρ of norm and length over {counted(norms.prompts, 'prompt')}: {rho}")
    print(f"table: {norms.table}")
    print(f"plot: {plot}")


def _quarters(norms: Norms) -> list[list[Any]]:
    """The prompts in four equal parts, from short to long responses."""
    import numpy as np

    tokens, norm, rate = (np.array(column) for column in (norms.tokens, norms.norm, norms.success_rate))
    parts = [part for part in np.array_split(np.argsort(tokens, kind="stable"), 4) if len(part)]
    return [
        [f"{tokens[p].min():g} to {tokens[p].max():g}", len(p), float(np.median(norm[p])), float(rate[p].mean())]
        for p in parts
    ]


def _show(comparison: Comparison) -> None:
    bins = {"never solved": "p = 0", "hard": "p < ½", "easy": "p ≥ ½", "always solved": "p = 1"}
    columns = ["method", "prompts", "mean p", "mean V", "prompt tokens", "answer tokens"]
    columns += [f"% {title}" for title in bins.values()]
    subsets = {"(whole pool)": comparison.pool, **comparison.subsets}
    rows = [
        [
            name,
            subset.prompts,
            _round(subset.success_rate, 3),
            _round(subset.learnability, 3),
            _round(subset.prompt_tokens, 1),
            _round(subset.answer_tokens, 1),
            *[_percent(subset.difficulty.get(name)) for name in bins],
        ]
        for name, subset in subsets.items()
    ]
    print_table(f"{counted(comparison.size, 'prompt')} by each method", columns, rows)
    _show_matrix("overlap, % (Jaccard: prompts that both chose, of those that either did)", comparison.jaccard)
    _show_matrix("rank correlation of the scores, % (Spearman)", comparison.rank_correlation)
    methods: dict[str, list[str]] = {}
    for name, reason in comparison.missing.items():
        methods.setdefault(reason, []).append(name)
    for reason, names in methods.items():
        print(f"not compared: {', '.join(names)}: {reason}")


def _show_matrix(title: str, matrix: dict[str, Any]) -> None:
    """A square table whose columns are the rows' numbers; one that is too wide goes on below."""
    names = list(matrix)
    labels = {name: f"{number} {name}" for number, name in enumerate(names, 1)}
    fit = max(
        1, (table_width() - max(map(len, labels.values()), default=0) - 4) // 6
    )  # three digits after three blanks
    for start in range(0, len(names), fit):
        part = names[start : start + fit]
        columns = ["", *[str(number) for number in range(start + 1, start + len(part) + 1)]]
        rows = [[label, *[_percent(matrix[name][other]) for other in part]] for name, label in labels.items()]
        print_table("" if start else title, columns, rows)


def _percent(value: float | None) -> int | None:
    return None if value is None else round(100 * value)


def _round(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
