"""The pool: every input row becomes a prompt or a line of quarantine.jsonl, and the counts add up."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learnalign import columns
from learnalign.config import DataConfig
from learnalign.config.loading import apply_overrides
from learnalign.errors import InputError
from learnalign.plan import plan
from learnalign.prompts import load_prompts, read_pool
from learnalign.rundir import RunDir
from learnalign.rundir.files import write_lines
from tests.pools import DATA, read, write_jsonl
from tests.tiny import make_config, make_run


@pytest.mark.parametrize(
    ("value", "gold"), [(True, "true"), (False, "false"), (0, "0"), (1e22, "1e+22"), ("True", "True")]
)
def test_a_gold_that_is_no_text_is_what_json_writes(value: Any, gold: str, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "p.jsonl", [{"question": "a?", "answer": value}])
    assert read(path, answer="answer")[0][0].answer == gold


def test_a_template_shows_values_as_json(tmp_path: Path) -> None:
    row = {"a": True, "b": [1, None, "é"], "c": {"d": 0.5}, "e": "text", "answer": 1}
    path = write_jsonl(tmp_path / "p.jsonl", [row])
    prompts, _, _ = read(path, answer="answer", prompt_template="{a} {b} {c} {c.d} {e}")
    assert prompts[0].messages[0]["content"] == 'true [1, null, "é"] {"d": 0.5} 0.5 text'


def test_rows_on_which_a_regex_runs_out_of_time_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "REGEX_SECONDS", 0.01)
    slow, regex = "a" * 200 + "!", r"^(7|a|aa)+$"
    path = write_jsonl(
        tmp_path / "p.jsonl", [{"question": f"{i}?", "answer": slow if i % 3 else "7"} for i in range(9)]
    )
    prompts, left_out, _ = read(path, answer="answer", answer_regex=regex)
    assert [p.row for p in prompts] == [0, 3, 6]
    assert {entry.reason for entry in left_out} == {
        "data.answer_regex, column 'answer': it takes more than 0.01 s on this row"
    }
    path = write_jsonl(tmp_path / "q.jsonl", [{"question": f"{i}?", "answer": slow} for i in range(1000)])
    with pytest.raises(InputError, match=r"on 5 of its first 5 rows, a regular expression takes more than"):
        read(path, answer="answer", answer_regex=regex)


def test_a_dry_run_counts_the_prompts_of_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path, count=9, data={"max_prompt_tokens": 60}, verifier="math")
    with Path(run.config.data.path).open("a") as file:
        for question, answer in (("1 + " * 50, "51"), ("What?", "\\frac{"), (5, "1"), ("What is 0 + 0?", "0")):
            file.write(json.dumps({"question": question, "answer": answer}) + "\n")
    planned = plan(run.config, [])
    assert (planned.rows, planned.prompts, planned.left_out) == (13, 9, 4)
    assert len(load_prompts(run)) == planned.prompts


def test_ids_are_given_or_made_from_the_question_alone(tmp_path: Path) -> None:
    rows = [{"question": q, "answer": a, "n": {"id": i}} for q, a, i in (("a?", 1, 7), ("b?", 2, 8))]
    given_ids, _, _ = read(write_jsonl(tmp_path / "p.jsonl", rows), answer="answer", id="n.id")
    assert [p.id for p in given_ids] == ["7", "8"]
    made = {p.messages[0]["content"]: p.id for p in read(tmp_path / "p.jsonl", answer="answer")[0]}
    back = {
        p.messages[0]["content"]: p.id for p in read(write_jsonl(tmp_path / "q.jsonl", rows[::-1]), answer="answer")[0]
    }
    assert made == back


def test_duplicates_merge_and_conflicts_are_left_out_whole(tmp_path: Path) -> None:
    rows = [("a?", "1"), ("b?", "2"), ("a?", "1"), ("b?", "3"), ("c?", "4"), ("b?", "2")]
    path = write_jsonl(
        tmp_path / "p.jsonl", [{"question": q, "answer": a, "index": i} for i, (q, a) in enumerate(rows)]
    )
    prompts, left_out, count = read(path, answer="answer")
    assert [p.messages[0]["content"] for p in prompts] == ["a?", "c?"]
    assert sorted(entry.row for entry in left_out) == [1, 2, 3, 5]
    assert any("'2', '3'" in entry.reason for entry in left_out)
    assert len(prompts) + len(left_out) == count


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (4, 4.0, True),
        ("4", "4.00", True),
        ("4", "$4$", True),
        (-4, "-4.0", True),
        (1e22, 10**22, True),
        ("4", "-4", False),
        ("4", "4 dollars", False),
        ("4", "4%", False),
        ("7", "007", False),
        ("0.3333333333333333", "0.33333333333333331", False),
    ],
)
def test_duplicates_agree_if_their_golds_are_the_same_number(one: Any, other: Any, same: bool, tmp_path: Path) -> None:
    rows = [{"question": "a?", "answer": one}, {"question": "a?", "answer": other}, {"question": "b?", "answer": 1}]
    prompts, left_out, _ = read(write_jsonl(tmp_path / "p.jsonl", rows), answer="answer")
    assert [p.row for p in prompts] == ([0, 2] if same else [2])
    assert sorted({entry.row for entry in left_out}) == ([1] if same else [0, 1])


@pytest.mark.parametrize("end", [" ", "\n", "\u3000", "\t \n"])
def test_white_space_around_a_question_makes_no_other_one(end: str, tmp_path: Path) -> None:
    rows = [{"question": question, "answer": "1"} for question in ("a b?", f"a b?{end}", f"{end}a b?", "ab?")]
    prompts, left_out, _ = read(write_jsonl(tmp_path / "p.jsonl", rows), answer="answer")
    assert [p.row for p in prompts] == [0, 3]
    assert [entry.reason for entry in left_out] == ["duplicate of row 0"] * 2


def test_content_in_parts_of_text_is_that_text(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "a", "image": None}, {"type": "text", "text": " b?"}]
    rows = [{"question": [{"role": "user", "content": content}], "answer": 1} for content in (parts, "a b?")]
    prompts, left_out, _ = read(write_jsonl(tmp_path / "p.jsonl", rows), answer="answer")
    assert prompts[0].messages == [{"role": "user", "content": "a b?"}]
    assert left_out[0].reason == "duplicate of row 0"


LONE = "half \ud800"


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"question": LONE}, "prompt"),
        ({"question": [{"role": "user", "content": [{"type": "text", "text": LONE}]}]}, "prompt"),
        ({"question": [{"role": LONE, "content": "b?"}]}, "prompt"),
        ({"answer": LONE}, "answer"),
        ({"why": LONE}, "solution"),
        ({"id": LONE}, "id"),
        ({"more": LONE, LONE: 1}, None),
    ],
)
def test_half_a_surrogate_pair_leaves_out_its_row_alone(
    suffix: str, row: dict[str, Any], name: str | None, tmp_path: Path
) -> None:
    rows = [{"question": f"{i}?", "answer": "1", "id": str(i)} for i in range(2)]
    rows[1] |= row
    path = tmp_path / f"p.{suffix}"
    path.write_text(json.dumps(rows) if suffix == "json" else "".join(json.dumps(row) + "\n" for row in rows))
    run = RunDir.create(
        tmp_path / "run", make_config(tmp_path, data={**DATA, "path": str(path), "answer": "answer", "id": "id"})
    )
    prompts = load_prompts(run)
    write_lines(tmp_path / "subset.jsonl", [prompt.source for prompt in prompts])
    assert [json.loads(p.source) for p in prompts] == (rows[:1] if name else rows)
    assert [(line["row"], line["reason"]) for line in run.quarantined()] == (
        [(1, f"half a surrogate pair in the {name} ('\\ud800')")] if name else []
    )


def test_one_id_for_two_prompts_keeps_the_first(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "p.jsonl", [{"question": q, "answer": 1, "id": 5} for q in ("a?", "b?", "b?")])
    prompts, left_out, count = read(path, answer="answer", id="id")
    assert [p.messages[0]["content"] for p in prompts] == ["a?"]
    assert len(prompts) + len(left_out) == count


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"question": "a?"}, "no answer"),
        ({"question": "a?", "answer": "  "}, "no answer"),
        ({"question": "a?", "answer": [1, 2]}, "is a list"),
        ({"question": " ", "answer": 1}, "empty prompt"),
        ({"answer": 1}, "no prompt"),
        ({"question": 5, "answer": 1}, "neither text nor a list"),
        ({"question": [{"role": "user"}], "answer": 1}, "neither text nor a list"),
        ({"question": [{"role": "user", "content": [{"type": "image_url"}]}], "answer": 1}, "part of type 'image_url'"),
        ({"question": [{"role": "user", "content": ["hi"]}], "answer": 1}, "part of type 'hi'"),
        ({"question": [{"role": "user", "content": []}], "answer": 1}, "empty prompt"),
        ({"question": [{"role": "assistant", "content": "hi"}], "answer": 1}, "from the assistant"),
    ],
)
def test_a_row_that_cannot_be_a_prompt_says_why(row: dict[str, Any], reason: str, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "p.jsonl", [row, {"question": "good?", "answer": 1}])
    prompts, left_out, _ = read(path, answer="answer")
    assert [p.row for p in prompts] == [1]
    assert reason in left_out[0].reason


def test_regexes_cut_question_and_answer_and_system_prompts_are_added_once(tmp_path: Path) -> None:
    rows = [
        {"question": "Q: 1 + 1? Say so.", "answer": "so it is\n#### 1,002"},
        {
            "question": [{"role": "system", "content": "own"}, {"role": "user", "content": "Q: b? Say so."}],
            "answer": "#### 2",
        },
        {"question": "Q: c? Say so.", "answer": "none"},
    ]
    data = {"answer": "answer", "prompt_regex": "Q: (.*) Say so", "answer_regex": r"####\s*(.+)", "system_prompt": "S"}
    prompts, left_out, _ = read(write_jsonl(tmp_path / "p.jsonl", rows), **data)
    assert [[m["content"] for m in p.messages] for p in prompts] == [["S", "1 + 1?"], ["own", "b?"]]
    assert [p.answer for p in prompts] == ["1,002", "2"]
    assert "answer_regex" in left_out[0].reason


def test_rows_that_are_left_out_keep_ids_of_their_own(tmp_path: Path) -> None:
    rows = [
        {"question": "a?", "answer": "1", "id": "r0"},
        {"question": "a?", "answer": "1", "id": "d1"},
        {"question": "b?", "answer": "", "id": 7},
        {"question": "", "answer": "2", "id": None},
    ]
    _, left_out, _ = read(write_jsonl(tmp_path / "p.jsonl", rows), answer="answer", id="id")
    assert [(entry.row, entry.id) for entry in left_out] == [(1, "d1"), (2, "7"), (3, None)]


def test_names_of_columns_are_quoted_and_the_proposed_override_works(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("the question, Gold: Answer ,please, notes\n1 + 1?,2,x,y\n")
    with pytest.raises(InputError) as caught:
        read(path, prompt="the question", answer="answer", solution=None)
    message = str(caught.value)
    assert "it has ' Gold: Answer ', ' notes', 'please', 'the question'. " in message
    override = shlex.split(message.rpartition("--set ")[2])[0]
    overridden = apply_overrides({"data": {"path": str(path), "prompt": "the question"}}, [override])
    assert [p.answer for p in read_pool(DataConfig(**overridden["data"]))[0]] == ["2"]


def test_the_run_directory_holds_the_pool_and_what_was_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path, count=9, data={"max_prompt_tokens": 60}, verifier="math")
    long = {"question": "How much is " + "1 + " * 50 + "1?", "answer": "51", "kind": 0}
    unusable = {"question": "What?", "answer": "\\frac{", "kind": 0}
    with Path(run.config.data.path).open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in (long, unusable))
    prompts = load_prompts(run)
    reasons = [line["reason"] for line in run.quarantined()]
    assert len(prompts) == 9
    assert any("too long" in reason for reason in reasons)
    assert any("unusable answer" in reason for reason in reasons)
    counts = run.read_record()["stages"]["pool"]["counts"]
    assert counts == {"rows": 11, "prompts": 9, "left_out": 2}
    assert list(load_prompts(RunDir.open(run.path))) == list(prompts)


def test_a_changed_source_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    load_prompts(run)
    with Path(run.config.data.path).open("a") as file:
        file.write('{"question": "new?", "answer": "1", "kind": 0}\n')
    again = rf"make everything again with `learnalign run {run.path} --overwrite`, or choose a new run directory"
    with pytest.raises(InputError, match=rf"data .* has changed since {run.path} was made.*{again}"):
        load_prompts(RunDir.open(run.path))
    with (
        pytest.raises(InputError, match=rf"has changed since {run.path} was made"),
        RunDir.overwriting(run.path, run.config, "rollout") as beside,
    ):
        load_prompts(beside)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [("tokenizer", "cannot load a tokenizer"), ("template", "no chat template"), ("config", "no config.json")],
)
def test_a_model_that_cannot_be_asked_is_refused_before_work(spoil: str, words: str, tmp_path: Path) -> None:
    config = make_config(tmp_path)
    model = Path(config.model.name)
    if spoil == "tokenizer":
        for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json"):
            (model / name).unlink(missing_ok=True)
    elif spoil == "template":
        (model / "chat_template.jinja").unlink()
    else:
        (model / "config.json").unlink()
    run = RunDir.create(tmp_path / "run", config)
    with pytest.raises(InputError, match=words):
        load_prompts(run)
    assert not run.prompts_file.exists()


VALUES = st.none() | st.text(max_size=6) | st.integers() | st.lists(st.integers(), max_size=2)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries({}, optional={"question": VALUES, "answer": VALUES, "id": VALUES}), min_size=1, max_size=8
    )
)
def test_counts_always_add_up(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    path = write_jsonl(
        tmp_path_factory.mktemp("pool") / "p.jsonl", [*rows, {"question": "sure?", "answer": 1, "id": "z"}]
    )
    prompts, left_out, count = read(path, answer="answer", id="id")
    assert sorted([p.row for p in prompts] + [entry.row for entry in left_out]) == list(range(count))
    assert len({p.id for p in prompts}) == len(prompts)


def test_every_row_that_is_left_out_has_its_row_and_line(tmp_path: Path) -> None:
    rows = [
        '{"question": "a?", "answer": 1}',
        "",
        '{"question": "a?", "answer": 2}',
        '{"question": "b?", "answer": ""}',
    ]
    (tmp_path / "p.jsonl").write_text("\n".join(rows) + '\n{"question": "long long long long", "answer": 1}\n')
    config = make_config(tmp_path, data={"path": str(tmp_path / "p.jsonl"), "max_prompt_tokens": 30})
    run = RunDir.create(tmp_path / "run", config)
    with pytest.raises(InputError, match="none of 4 rows"):
        load_prompts(run)
    (tmp_path / "p.jsonl").write_text((tmp_path / "p.jsonl").read_text() + '{"question": "c?", "answer": "3"}\n')
    load_prompts(run)
    found = [(line["row"], line["line"], line["reason"].partition(":")[0]) for line in run.quarantined()]
    assert found == [
        (0, 1, "conflicting answers of its duplicates"),
        (1, 3, "duplicate of row 0"),
        (2, 4, "no answer in column 'answer'"),
        (3, 5, "too long"),
    ]
