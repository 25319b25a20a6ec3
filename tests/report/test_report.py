"""The report: what it says, against independent counts; what it escapes; what it does without."""

from __future__ import annotations

import base64
import hashlib
import html
import itertools
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from learnalign.errors import InputError
from learnalign.outputs import open_output
from learnalign.report import cosines, rows, write_report
from learnalign.report.cosines import measure_cosines
from learnalign.report.examples import verdict
from learnalign.report.gather import Gathered
from learnalign.report.sections import SECTIONS
from learnalign.report.text import clipped, e
from learnalign.rollouts import Rollout
from learnalign.rundir import RunDir
from learnalign.rundir.checking import find_problems
from learnalign.rundir.files import read_parquet, read_safetensors, write_json, write_jsonl
from learnalign_cli.app import app
from tests.report.reading import Page
from tests.report.runs import GROUP, KINDS, add_gradients, add_pool, add_rollouts, add_scores, new_run, whole_run

QUESTIONS = [f"What is {i} + {i % 7}?" for i in range(50)]
HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    '" onmouseover="alert(3)" x=\'',
    "</style><style>*{display:none}</style>",
    "<!-- <script>",
    "\u202eright to left\u202c and \u2067isolated",
    "null \x00 bell \x07 escape \x1b[31m delete \x7f c1 \x9b",
    "${title} $policy $$ &amp; &lt;b&gt;",
    "مرحبا بالعالم",
    "a" * 30_000,
    "",
    "]]> <![CDATA[ <template> </template> </section></main></body></html>",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    return whole_run(tmp_path_factory.mktemp("report") / "run", QUESTIONS)


@pytest.fixture(scope="module")
def page(run: RunDir) -> Page:
    return Page(write_report(run))


def correct_of(run: RunDir) -> list[int]:
    return read_parquet(run.success_file)["correct"].to_pylist()


def chosen_of(run: RunDir, method: str = "learnalign") -> list[bool]:
    return read_parquet(run.scores_file(method))["selected"].to_pylist()


def test_the_answer_comes_first_with_path_and_next_commands(page: Page, run: RunDir) -> None:
    assert next(iter(page.sections)) == "answer"
    answer = page.sections["answer"]
    assert "10 of 50 prompts chosen" in answer
    assert str(run.subset_file("learnalign")) in answer
    assert f"learnalign export {run.path} --to trl" in answer


def test_the_histogram_counts_pool_and_chosen(page: Page, run: RunDir) -> None:
    correct, chosen = correct_of(run), chosen_of(run)
    pool, own = Counter(correct), Counter(c for c, is_chosen in zip(correct, chosen, strict=True) if is_chosen)
    cells = {row[0]: row[1:3] for row in page.tables["difficulty"][0][1:]}
    assert cells == {f"{k}/{GROUP}": [str(pool[k]), str(own[k])] for k in range(GROUP + 1)}


def test_the_shares_are_counts_by_the_datas_own_column(page: Page, run: RunDir) -> None:
    rows = {row[0]: row[1:4] for row in page.tables["shares"][0][1:]}
    members = {kind: [i for i in range(50) if KINDS[i % 3] == kind] for kind in KINDS}
    correct, chosen = correct_of(run), chosen_of(run)
    for kind, own in members.items():
        counts = [len(own), sum(0 < correct[i] < GROUP for i in own), sum(chosen[i] for i in own)]
        assert rows[kind] == [str(count) for count in counts]
    assert len(page.tables["shares"]) == 1  # neither question, answer nor a number of each row's own sorts prompts


def unit_rows(run: RunDir) -> dict[int, np.ndarray]:
    """Unit rows in float64 by place."""
    ids = [prompt["id"] for prompt in read_parquet(run.prompts_file).to_pylist()]
    found = {}
    for shard in run.shards():
        tensors, metadata = read_safetensors(run.gradients_file(shard))
        names = json.loads(metadata["ids"])
        found |= {ids.index(name): row for name, row in zip(names, tensors["features"].double().numpy(), strict=True)}
    return found


def test_mean_cosines_are_those_of_a_loop_over_pairs(run: RunDir) -> None:
    measured, units = measure_cosines(Gathered(run)), unit_rows(run)
    assert measured is not None
    pairs: dict[tuple[str, str], list[float]] = {}
    for i, j in itertools.permutations(units, 2):
        pairs.setdefault((KINDS[i % 3], KINDS[j % 3]), []).append(float(units[i] @ units[j]))
    groups = next(column.groups for column in Gathered(run).columns if column.name == "kind")
    for a, b in itertools.product(range(3), repeat=2):
        expected = np.mean(pairs[groups[a], groups[b]])
        assert measured.means["kind"][a, b] == pytest.approx(expected, abs=1e-6)


def test_a_group_of_one_has_no_pair_with_itself(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    prompts = add_pool(run, QUESTIONS[:6], ("a", "a", "a", "b", "b", "b"))
    correct = [4, 4, 0, 4, 0, 8]
    add_rollouts(run, prompts, correct)
    add_gradients(run, prompts, correct, lambda places: np.eye(8)[places])
    measured = measure_cosines(Gathered(run))
    assert measured is not None
    assert measured.counts["kind"].tolist() == [2, 1]
    assert measured.means["kind"][0].tolist() == [0, 0]
    assert np.isnan(measured.means["kind"][1, 1])
    assert measured.nearest[2].tolist() == [-1] * 5  # it has no gradient


@pytest.mark.parametrize("work", [cosines.WORK, 1.0])
def test_neighbours_are_the_largest_cosines_with_the_candidates(
    run: RunDir, work: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With little room only the best ranked six are compared with."""
    monkeypatch.setattr(cosines, "WORK", work)
    data, units = Gathered(run), unit_rows(run)
    measured = measure_cosines(data)
    assert measured is not None
    ranked = [place for place in data.order.tolist() if place in units]
    candidates = ranked if work > 1 else ranked[:6]
    assert measured.candidates == len(candidates)
    chosen = [place for place in units if chosen_of(run)[place]]
    for i, row in units.items():
        expected = sorted((float(row @ units[j]) for j in candidates if j != i), reverse=True)[:5]
        found = measured.cosines[i][measured.nearest[i] >= 0]
        assert found == pytest.approx(expected, abs=1e-5)
        assert [float(row @ units[j]) for j in measured.nearest[i] if j >= 0] == pytest.approx(expected, abs=1e-5)
        assert measured.to_chosen[i] == pytest.approx(np.mean([row @ units[j] for j in chosen if j != i]), abs=1e-5)


def test_every_prompt_is_in_the_blocks_with_its_completions(page: Page, run: RunDir) -> None:
    index, details, correct = page.index(), page.details(), correct_of(run)
    assert index["question"] == QUESTIONS
    assert index["correct"] == correct
    assert index["chosen"] == [int(value) for value in chosen_of(run)]
    assert len(details) == 50
    for i, detail in enumerate(details):
        assert [text for text, *_ in detail["completions"]] == [f"completion {k} of prompt {i}" for k in range(GROUP)]
        assert sum(reward for _, reward, *_ in detail["completions"]) == correct[i]
        assert detail["answer"] == str(i)


def test_completions_beyond_the_budget_are_those_of_the_worst_ranked(run: RunDir) -> None:
    data = Gathered(run)
    blocks = rows.make_blocks(data, None, budget=2000)
    assert 0 < blocks.without_texts < 50
    shown = rows._with_texts(data, 2000)
    ranks = data.ranking.rank  # type: ignore[union-attr]
    assert max(ranks[shown]) < min(ranks[~shown])
    assert data.lengths.characters[shown].sum() <= 2000


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Page:
    folder = tmp_path_factory.mktemp("hostile")
    run = new_run(folder / "run & <b>'\"")
    prompts = add_pool(run, HOSTILE, HOSTILE[:3])
    correct = [0, 8, 4, 3] * 3
    add_rollouts(run, prompts, correct, text=lambda i, k: HOSTILE[(i + k) % len(HOSTILE)])
    add_gradients(run, prompts, correct, lambda places: np.random.default_rng(0).standard_normal((len(places), 8)))
    add_scores(run, prompts, np.array([c * (8 - c) / 64 for c in correct]), 4)
    write_jsonl(run.quarantine_file, [{"id": None, "row": 1, "stage": "pool", "reason": HOSTILE[1]}])
    return Page(write_report(run))


def test_no_string_of_the_data_becomes_markup(hostile: Page) -> None:
    names = {tag for tag, _ in hostile.tags}
    assert names.isdisjoint({"img", "iframe", "object", "embed", "link", "base"})
    assert len(hostile.inline["script"]) == len(hostile.inline["style"]) == 1
    for tag, attributes in hostile.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
    ours = {"application/json", "application/octet-stream", None}
    assert {attributes.get("type") for tag, attributes in hostile.tags if tag == "script"} == ours
    assert list(hostile.sections) == ["answer", *SECTIONS, "prompts"]
    for text in HOSTILE[:5]:
        assert text in "".join(hostile.sections.values())


def test_nothing_invisible_is_on_the_page(hostile: Page) -> None:
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", hostile.source)
    assert e("\x1b\ud800\x7f\r\n") == "\u241b\ufffd\u2421\n"


def test_hostile_strings_come_out_of_the_blocks_as_they_were(hostile: Page) -> None:
    for question, detail in zip(HOSTILE, hostile.details(), strict=True):
        stored = question if len(question) < 4000 else clipped(question, 4000)
        assert detail["messages"] == [["user", stored]]


def test_the_page_loads_nothing_and_lets_only_its_own_script_run(page: Page) -> None:
    links = [value for _, attributes in page.tags for key in ("href", "src") if (value := attributes.get(key))]
    assert [link for link in links if not link.startswith("#")] == ["https://arxiv.org/abs/2506.11480"]
    assert len(re.findall(r"https?://", page.source)) == 1
    assert not re.search(r"@import|url\(|\bfetch\(|XMLHttpRequest|WebSocket|innerHTML", page.source)
    (policy,) = [a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv")]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    for kind in ("script", "style"):
        (text,) = page.inline[kind]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_a_screen_reader_finds_names(page: Page) -> None:
    pictures = [attributes for tag, attributes in page.tags if tag == "svg" and attributes.get("aria-hidden") != "true"]
    assert pictures
    assert all(attributes["role"] == "img" for attributes in pictures)
    ids = [attributes["id"] for _, attributes in page.tags if attributes.get("id")]
    assert len(ids) == len(set(ids))
    labelled = [attributes["aria-labelledby"] for _, attributes in page.tags if "aria-labelledby" in attributes]
    assert set(labelled) <= set(ids)
    assert ("html", {"lang": "en"}) in page.tags


def test_an_unfinished_run_has_a_page_that_says_what_is_missing(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run", "warmup.size=4")
    sections = Page(write_report(run)).sections
    assert "0 prompts, none chosen yet" in sections["answer"]
    assert "No pool yet" in sections["prompts"]
    prompts = add_pool(run, QUESTIONS)
    sections = Page(write_report(run)).sections
    assert f"learnalign rollout {run.path}" in sections["difficulty"]
    assert f"learnalign warmup {run.path}" in sections["warmup"]
    correct = [i % 9 for i in range(50)]
    add_rollouts(run, prompts, correct)
    run.success_file.unlink()
    run.rollouts_file(run.shards()[1]).unlink()  # as if it were still sampling
    page = Page(write_report(run))
    assert "drawn so far" in page.sections["completions"]
    assert len(page.details()) == 50
    assert [bool(detail["completions"]) for detail in page.details()] == [not 16 <= i < 32 for i in range(50)]
    add_rollouts(run, prompts, correct)
    page = Page(write_report(run))
    assert f"learnalign grad {run.path}" in page.sections["cosines"]
    assert f"learnalign select {run.path}" in page.sections["scores"]
    assert "none chosen yet" in page.sections["answer"]


def test_other_ways_to_run_are_said(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run", "grad.projection=exact", "select.method=random")
    prompts = add_pool(run, QUESTIONS)
    add_scores(run, prompts, np.full(50, np.nan), 5, "random")
    sections = Page(write_report(run)).sections
    assert "grad.projection: exact" in sections["cosines"]
    assert "no warmup" in sections["warmup"]
    assert "5 of 50" in sections["answer"]
    assert "random" in sections["scores"] or "No success rates" in sections["scores"]


def test_methods_overlap_as_sets_do(tmp_path: Path) -> None:
    run = whole_run(tmp_path / "run", QUESTIONS)
    prompts = Gathered(run).prompts
    add_scores(run, prompts, np.random.default_rng(5).random(50), 10, "learnability")
    tables = Page(write_report(run)).tables["methods"]
    one, other = (set(np.flatnonzero(chosen_of(run, name))) for name in ("learnalign", "learnability"))
    assert tables[1][1] == ["learnalign", "100 %", f"{100 * len(one & other) / 10:.0f} %"]
    assert tables[2][1][2] == f"{100 * len(one & other) / len(one | other):.0f} %"


def test_two_runs_are_compared_by_their_shared_prompts(tmp_path: Path) -> None:
    one = whole_run(tmp_path / "one", QUESTIONS)
    other = whole_run(tmp_path / "other", QUESTIONS[:40], "seed=7", "rollout.temperature=0.5", seed=3)
    page = Page(write_report(one, compare=other))
    assert "40 shared prompts" in page.sections["versus"]
    tables = {table[0][0] if table[0][0] else table[1][0]: table for table in page.tables["versus"]}
    assert {row[0] for row in tables["setting"][1:]} == {"seed", "rollout.temperature"}
    a, b = chosen_of(one)[:40], chosen_of(other)
    both = sum(x and y for x, y in zip(a, b, strict=True))
    assert [row[1] for row in tables["chosen in both"][1:4]] == [str(both), str(sum(a) - both), str(sum(b) - both)]
    moved = np.abs(np.array(correct_of(one)[:40]) - np.array(correct_of(other)))
    assert tables["prompt"][1][3].lstrip("+−") == f"{moved.max() / GROUP:.3g}"


def test_the_command_writes_where_it_is_told(tmp_path: Path) -> None:
    run = whole_run(tmp_path / "run", QUESTIONS)

    def report(*arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["report", *map(str, arguments)])
        return result.exit_code, result.output

    assert report(run.path)[0] == 0
    assert (run.path / "report.html").is_file()
    code, text = report(run.path, "-o", tmp_path / "page.html", "--json")
    assert (code, json.loads(text)["report"]) == (0, str(tmp_path / "page.html"))
    pool = tmp_path / "pool.jsonl"
    pool.write_text("{}")
    assert report(new_run(tmp_path / "mine", f"data.path={pool}").path, "-o", pool)[0] == 2
    assert pool.read_text() == "{}"
    assert report(run.path, "--compare", tmp_path / "none")[0] == 2
    assert report(tmp_path / "none")[0] == 2
    with pytest.raises(InputError, match="is the run directory's own"):
        write_report(run, run.path / "subset.jsonl")
    assert find_problems(run.path) == []


def test_a_run_is_not_set_beside_itself(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    link = tmp_path / "link"
    link.symlink_to(run.path)
    for path in (run.path, link):
        with pytest.raises(InputError, match="is the run itself; name another"):
            write_report(run, compare=RunDir.peek(path))
    assert not run.report_file.exists()


def test_advice_on_the_choice_is_given_once(tmp_path: Path) -> None:
    run = whole_run(tmp_path / "run", QUESTIONS)
    entry = run.read_record()["stages"]["select"]
    entry["methods"]["learnalign"]["stability"] = {"overlap": 0.5, "count_at_90": 1, "draws": 200}
    write_json(run.record_file, {**run.read_record(), "stages": {**run.read_record()["stages"], "select": entry}})
    section = Page(write_report(run)).sections["certainty"]
    assert "50 % of the 10 chosen stay on average" in section
    assert section.count("rollout.num_generations") == 1


def test_a_file_that_was_there_is_missed_on_the_page_and_the_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = whole_run(tmp_path / "run", QUESTIONS)
    assert "missing" not in Page(write_report(run)).sections["answer"]
    assert capsys.readouterr().err == ""
    run.success_file.unlink()
    section = Page(write_report(run)).sections["answer"]
    for text in (section, capsys.readouterr().err):
        assert (
            f"success.parquet is missing, and so is what this page would show of it: `learnalign status {run.path} --repair`"
            in text
        )


def test_all_that_are_solved_sometimes_are_counted(page: Page, run: RunDir) -> None:
    some = sum(0 < count < GROUP for count in correct_of(run))
    assert f"Solved sometimes {some} prompts" in page.sections["completions"]


def test_a_command_that_begins_leaves_a_report_that_is_being_written(tmp_path: Path) -> None:
    run = whole_run(tmp_path / "run", QUESTIONS)
    with open_output(run.report_file) as file:
        with RunDir.peek(run.path).locked():
            file.write(b"whole")
    assert run.report_file.read_text() == "whole"
    (run.path / ".report.html.999999999-00000000.tmp").touch()  # of one that was killed
    write_report(run)
    assert list(run.path.glob("*.tmp")) == []


def test_the_answer_that_was_read_is_shown_if_the_reason_does_not_say_it() -> None:
    one = Rollout("a", 0, [], [], "t", 0.0, "length", reason="'<1>' is not '2'", answer="<1>")
    assert words(verdict(one)) == "wrong · '<1>' is not '2' · cut off"
    assert words(verdict(replace(one, answer="7", reason=None))) == "wrong · read 7 · cut off"
    assert words(verdict(Rollout("a", 0, [], [], "t", None, "stop", reason="time out"))) == "not scored · time out"
    assert words(verdict(Rollout("a", 0, [], [], "t", 0.5, "stop"))) == "reward 0.5"
    table = pa.table({"id": ["a"], "text": ["t"], "reward": [0.5], "finish_reason": ["stop"], "answer": ["7"]})
    assert rows._completions(table, {"a"}) == {"a": [["t", 0.5, 0, "7", None]]}


def words(markup: str) -> str:
    """What an element says."""
    return html.unescape(re.sub(r"<[^>]*>", "", markup))


def test_a_run_of_rounds_names_them(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    whole_run(run.path / "stage-1", QUESTIONS[:20])
    assert f"learnalign report {run.path / 'stage-1'}" in Page(write_report(run)).sections["answer"]
