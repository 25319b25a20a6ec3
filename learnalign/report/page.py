"""The page: one HTML file with its own style, script and data, which loads nothing and lets nothing else run."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from datetime import UTC, datetime
from importlib.resources import files as package_files
from pathlib import Path
from string import Template
from typing import Any

from learnalign.errors import InputError
from learnalign.outputs import check_output, open_output
from learnalign.report.answer import answer, missing_files
from learnalign.report.cosines import Cosines, measure_cosines
from learnalign.report.gather import LONGEST_TEXT, Gathered
from learnalign.report.rows import DETAILED, SEARCHED, Blocks, make_blocks
from learnalign.report.sections import SECTIONS
from learnalign.report.text import e, missing
from learnalign.report.versus import versus
from learnalign.rundir import RunDir

COLUMNS = {  # of the table: key of the index, title, whether it is a number
    "rank": ("rank", True),
    "question": ("prompt", False),
    "p": ("p", True),
    "score": ("score", True),
    "chosen": ("chosen", False),
}


def write_report(run: RunDir, output: Path | None = None, compare: RunDir | None = None) -> Path:
    """Write a run's report, DIR/report.html if no `output` is given; `compare` is a second run to set beside it.

    Whatever the run lacks is said on the page; files that it had once, on stderr too. Raises InputError for an output that
    cannot be written and for a run beside itself, RunError for files that are damaged.
    """
    if compare is not None and compare.path.resolve() == run.path.resolve():
        raise InputError(f"{compare.path} is the run itself; name another run directory to set beside it, or none")
    if output is not None:
        check_output(output)
    data = Gathered(run)
    other = None if compare is None else Gathered(compare)
    for each in (data, other):
        if each is not None and each.missing:
            print(f"learnalign: {missing_files(each)}", file=sys.stderr)
    text = make_page(data, other)
    path = run.report_file if output is None else output
    with open_output(path) as file:
        file.write(text.encode())
    return path


def make_page(data: Gathered, other: Gathered | None = None) -> str:
    """The page's text."""
    cosines = measure_cosines(data) if data.prompts else None
    blocks = make_blocks(data, cosines)
    parts = [_section("answer", "", answer(data))]
    links = {}
    if other is not None:
        parts.append(_section("versus", "Two runs", versus(data, other)))
        links["versus"] = "Two runs"
    for name, (link, title, section) in SECTIONS.items():
        parts.append(_section(name, title, section(data, cosines)))
        links[name] = link
    parts.append(_section("prompts", "All prompts", _prompts(data, blocks)))
    links["prompts"] = "All prompts"
    meta = _meta(data, blocks, cosines)
    return fill(
        "page.html",
        title=e(f"{data.run.path.name or data.run.path}: learnalign"),
        run=e(data.run.path),
        made=e(datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
        navigation="".join(f'<a href="#{name}">{link}</a>' for name, link in links.items()),
        body="".join(parts),
        data=f'<script type="application/json" id="meta">{_json(meta)}</script>'
        + "\n".join([*blocks.index, *blocks.details]),
    )


def fill(name: str, **parts: str) -> str:
    """A page of this package with its style and script in place, both let in by their digests alone."""
    style, script = _own("page.css"), _own("page.js")
    policy = f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
    return Template(_own(name)).substitute(policy=policy, style=style, script=script, **parts)


def _own(name: str) -> str:
    return (package_files("learnalign.report") / name).read_text("utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _json(value: Any) -> str:
    """JSON that no HTML parser takes for markup."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _section(name: str, title: str, html: str) -> str:
    heading = f'<h2 id="{name}-title">{e(title)}</h2>' if title else ""
    label = f' aria-labelledby="{name}-title"' if title else ' aria-label="The answer"'
    return f'<section id="{name}"{label}>{heading}{html}</section>'


def _meta(data: Gathered, blocks: Blocks, cosines: Cosines | None) -> dict[str, Any]:
    ranking = data.ranking
    total = float(ranking.score[ranking.chosen].sum()) if ranking is not None and ranking.chosen.any() else None
    return {
        "prompts": len(data.prompts),
        "index": len(blocks.index),
        "detailed": DETAILED,
        "columns": [{"name": column.name, "groups": column.groups} for column in data.columns],
        "run": data.directory,
        "total": total if total == total else None,
        "candidates": None if cosines is None or cosines.candidates == cosines.gradients else cosines.candidates,
    }


def _prompts(data: Gathered, blocks: Blocks) -> str:
    """The table's frame, which page.js fills."""
    if not data.prompts:
        return missing("No pool yet.", f"learnalign rollout {data.directory}")
    heads = "".join(_head(key, title, numeric) for key, (title, numeric) in COLUMNS.items())
    heads += "".join(_head(f"columns.{i}", column.name, False) for i, column in enumerate(data.columns[:2]))
    groups = "".join(
        _choice(f"group-{i}", column.name, ["all", *column.groups]) for i, column in enumerate(data.columns)
    )
    kinds = {
        "all": "all prompts",
        "chosen": "chosen",
        "rest": "not chosen",
        "never": "never solved",
        "some": "sometimes solved",
        "always": "always solved",
        "unscored": "not scored",
        "cut": "with completions cut off",
    }
    show = "".join(f'<option value="{key}">{title}</option>' for key, title in kinds.items())
    notes = f"Search looks at ids, gold answers and the first {SEARCHED} characters of each question."
    if blocks.without_texts:
        notes += f" The completions of {blocks.without_texts:,} prompts with low ranks are left out of this page; "
        notes += "<code>learnalign show</code> has them."
    if data.prompts and (data.lengths.characters >= LONGEST_TEXT).any():
        notes += f" Completions longer than {LONGEST_TEXT:,} characters are shortened in the middle."
    return Template(_own("prompts.html")).substitute(kinds=show, groups=groups, heads=heads, notes=notes)


def _head(key: str, title: str, numeric: bool) -> str:
    kind = ' class="n"' if numeric else ""
    order = ' aria-sort="ascending"' if key == "rank" else ""
    return f'<th scope="col"{kind}{order}><button type="button" data-sort="{key}"><bdi>{e(title)}</bdi></button></th>'


def _choice(name: str, title: str, groups: list[str]) -> str:
    options = "".join(f'<option value="{i - 1}">{e(group)}</option>' for i, group in enumerate(groups))
    return f'<label><bdi>{e(title)}</bdi> <select id="{name}">{options}</select></label>'
