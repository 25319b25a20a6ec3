"""Chat templates: one rendering in every stage, at one time, and what a template refuses."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import transformers.utils.chat_template_utils as templates

from learnalign.config import Config, apply_overrides, build_config
from learnalign.errors import InputError
from learnalign.evaluation import evaluate
from learnalign.evaluation.testset import settings_of
from learnalign.plan import plan
from learnalign.policy import TemplateRefusal, load_tokenizer, prompt_ids, run_tokenizer
from learnalign.prompts import load_prompts
from learnalign.rollouts import load_rollouts, rollout
from learnalign.rundir import RunDir, stages
from learnalign.signals.rendered import render_prompts
from learnalign.signals.segments import prefix_length
from learnalign.signals.signal import SignalInputs
from learnalign.training import train, warmup
from learnalign.training.library import GRPOTrainer, RLOOTrainer
from tests.tiny import CHATML, make_config, make_run

DATED = "{{ strftime_now('%d %b %Y') }}\n" + CHATML
THINKING = CHATML + "{% if enable_thinking is defined and enable_thinking is false %}<think></think>{% endif %}"
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML
)
ALTERNATING = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate user/assistant') }}{% endif %}{% endfor %}" + CHATML
)
WARMUP = {"size": 4, "batch_size": 4, "num_generations": 2, "max_completion_length": 8, "steps": 2}


def with_template(config: Config, template: str) -> Config:
    (Path(config.model.name) / "chat_template.jinja").write_text(template, encoding="utf-8")
    return config


def made(folder: Path, template: str, **sections: Any) -> RunDir:
    return RunDir.create(folder / "run", with_template(make_config(folder, **sections), template))


def add_row(run: RunDir, question: Any) -> None:
    with Path(run.config.data.path).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"question": question, "answer": "1", "kind": 0}) + "\n")


def message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The prompts that TRL's trainers tokenise, in order."""
    seen: list[list[int]] = []
    for trainer in (GRPOTrainer, RLOOTrainer):
        tokenise = trainer._tokenize_prompts

        def spy(self: Any, prompts: Any, tokenise: Any = tokenise) -> Any:
            result = tokenise(self, prompts)
            seen.extend(result[0])
            return result

        monkeypatch.setattr(trainer, "_tokenize_prompts", spy)
    return seen


def set_date(monkeypatch: pytest.MonkeyPatch, day: int) -> None:
    """Make it another day for transformers' own `strftime_now`, and for new run directories."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Clock":
            return cls(2031, 1, day, 12, tzinfo=tz)

    monkeypatch.setattr(templates, "datetime", Clock)
    monkeypatch.setattr("learnalign.rundir.records.datetime", Clock)
    monkeypatch.setattr("learnalign.policy.loading.datetime", Clock)


@pytest.mark.parametrize(
    ("template", "bad", "reason"),
    [
        (NO_SYSTEM, [message("system", "Be brief."), message("user", "1?")], "System role not supported"),
        (ALTERNATING, [message("user", "1?"), message("user", "Well?")], "Roles must alternate user/assistant"),
        (
            CHATML + "{% if messages[1] %}{{ messages[1].x.y }}{% endif %}",
            [message("user", "1")] * 2,
            "no attribute 'x'",
        ),
    ],
)
def test_a_row_that_the_template_refuses_is_left_out_with_its_reason(
    template: str, bad: list[Any], reason: str, tmp_path: Path
) -> None:
    run = made(tmp_path, template)
    add_row(run, bad)
    assert len(load_prompts(run)) == 12
    assert run.read_record()["stages"]["pool"]["counts"] == {"rows": 13, "prompts": 12, "left_out": 1}
    (line,) = run.quarantined()
    assert line["row"] == 12
    assert line["reason"].startswith("refused by the chat template: ")
    assert reason in line["reason"]


def test_a_dry_run_counts_the_refused_rows_as_the_run_does(tmp_path: Path) -> None:
    run = made(tmp_path, NO_SYSTEM)
    add_row(run, [message("system", "Be brief."), message("user", "1?")])
    planned = plan(run.config, [])
    load_prompts(run)
    counts = run.read_record()["stages"]["pool"]["counts"]
    assert {"rows": planned.rows, "prompts": planned.prompts, "left_out": planned.left_out} == counts


@pytest.mark.parametrize(
    ("template", "data", "words"),
    [
        (NO_SYSTEM, {"system_prompt": "Be brief."}, ["System role not supported", "data.system_prompt: null"]),
        (ALTERNATING, {"system_prompt": "Be brief."}, ["data.system_prompt: null", "data.prompt_template"]),
        (
            "{% if messages | length > 1 %}{{ raise_exception('one turn') }}{% endif %}" + CHATML,
            {"few_shot": 1},
            ["one turn", "data.few_shot: null"],
        ),
        (CHATML + "{{ raise_exception('never') }}", {}, ["refuses every prompt (never)"]),
        (CHATML + "{{ 'a' + 1 }}", {}, ["refuses every prompt (can only concatenate str"]),
        (CHATML + "{% if %}", {}, ["chat template is broken, line"]),
        (CHATML + "{{ messages | shout }}", {}, ["chat template is broken, line", "'shout'"]),
    ],
)
def test_a_template_that_refuses_every_prompt_is_one_line_that_names_model_and_cause(
    template: str, data: dict[str, Any], words: list[str], tmp_path: Path
) -> None:
    run = made(tmp_path, template, data=data)
    with pytest.raises(InputError) as error:
        load_prompts(run)
    for word in [f"model.name {run.config.model.name}", "chat_template.jinja", *words]:
        assert word in str(error.value)
    assert "\n" not in str(error.value)
    assert not run.prompts_file.exists()
    assert not run.quarantine_file.exists()


def test_messages_refused_later_are_one_line_too(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(with_template(make_config(tmp_path), NO_SYSTEM))
    with pytest.raises(TemplateRefusal, match=r"model\.name .*System role not supported"):
        prompt_ids(tokenizer, [message("system", "a"), message("user", "b")])


def test_a_template_that_refuses_a_second_turn_still_has_a_prefix(tmp_path: Path) -> None:
    template = "{% if messages | length > 1 %}{{ raise_exception('one turn') }}{% endif %}Be brief. " + CHATML
    tokenizer = load_tokenizer(with_template(make_config(tmp_path), template))
    assert prefix_length(tokenizer, [message("user", "1?")]) == len(b"Be brief. ") + 1 + len(b"user\n")


@pytest.mark.parametrize("algorithm", ["grpo", pytest.param("rloo", marks=pytest.mark.slow)])
def test_every_stage_asks_the_same_tokens(algorithm: str, tmp_path: Path, trained: list[list[int]]) -> None:
    run = made(
        tmp_path,
        THINKING,
        data={"chat_template_kwargs": {"enable_thinking": False}},
        warmup=WARMUP,
        train={"algorithm": algorithm, "steps": 2},
    )
    tokenizer, prompts = run_tokenizer(run), load_prompts(run)
    expected = {prompt.id: prompt_ids(tokenizer, prompt.messages) for prompt in prompts}
    assert all(tokenizer.decode(ids).endswith("<think></think>") for ids in expected.values())
    warmup(run)
    rollout(run)
    stored = {one.id: one.prompt_ids for shard in run.shards() for one in load_rollouts(run, shard)}
    assert stored == expected
    shard = run.shards()[0]
    rendered = render_prompts(run, shard, prompts, SignalInputs(run, "policy").tokenizer, False)
    assert [one.prompt_ids for one in rendered] == [expected[prompt.id] for prompt in prompts[: shard.stop]]
    evaluate(run, run.config.data.path, name="same")
    sub = RunDir.peek(run.path / "eval" / "same")
    assert {one.id: one.prompt_ids for part in sub.shards() for one in load_rollouts(sub, part)} == expected
    begun = len(trained)
    train(run, subset=run.config.data.path)
    assert 0 < begun < len(trained)
    assert {tuple(ids) for ids in trained} <= {tuple(ids) for ids in expected.values()}


def test_a_test_set_inherits_the_settings_and_may_have_its_own(tmp_path: Path) -> None:
    config = make_config(tmp_path, data={"chat_template_kwargs": {"enable_thinking": False}})
    for own, expected in (("", {"enable_thinking": False}), ("chat_template_kwargs: {depth: 2}", {"depth": 2})):
        (tmp_path / "set.yaml").write_text(f"data:\n  path: {config.data.path}\n  {own}\n", encoding="utf-8")
        assert settings_of(config, str(tmp_path / "set.yaml"))["data"]["chat_template_kwargs"] == expected


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("{tokenize: true}", "tokenize cannot be set"),
        ("{chat_template: x}", "chat_template cannot be set"),
        ("{a: null}", "a is null"),
    ],
)
def test_what_is_no_setting_of_a_template_is_refused(settings: str, words: str, tmp_path: Path) -> None:
    config = make_config(tmp_path).model_dump(mode="json")
    with pytest.raises(InputError, match=rf"data\.chat_template_kwargs: .*{words}"):
        build_config(apply_overrides(config, [f"data.chat_template_kwargs={settings}"]))


def test_an_option_reaches_one_setting(tmp_path: Path) -> None:
    settings = apply_overrides(make_config(tmp_path).model_dump(), ["data.chat_template_kwargs.enable_thinking=false"])
    assert build_config(settings).data.chat_template_kwargs == {"enable_thinking": False}


def test_runs_of_versions_without_the_key_stay_valid(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    assert not any("chat_template" in key for key in stages.settings_of(config, "pool"))


def test_changed_settings_of_the_template_are_refused(tmp_path: Path) -> None:
    run = made(tmp_path, THINKING, warmup=WARMUP)
    load_prompts(run)
    warmup(run)  # a pool that nothing builds on is made again
    data = run.config.data.model_copy(update={"chat_template_kwargs": {"enable_thinking": False}})
    with pytest.raises(InputError, match=r"data\.chat_template_kwargs\.enable_thinking: stored null, requested False"):
        RunDir.create(run.path, run.config.model_copy(update={"data": data}))


@pytest.mark.slow
def test_a_resumed_run_and_its_later_stages_ask_with_the_date_of_the_first_day(
    tmp_path: Path, trained: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_date(monkeypatch, day=1)
    run = made(tmp_path, DATED, warmup=WARMUP)
    prompts = load_prompts(run)
    expected = {prompt.id: prompt_ids(run_tokenizer(run), prompt.messages) for prompt in prompts}
    assert "01 Jan 2031" in run_tokenizer(run).decode(expected[prompts[0].id])
    set_date(monkeypatch, day=2)
    resumed = RunDir.open(run.path)
    warmup(resumed)
    rollout(resumed)
    train(resumed, subset=run.config.data.path)
    evaluate(resumed, run.config.data.path, name="same")
    assert {tuple(ids) for ids in trained} <= {tuple(ids) for ids in expected.values()}
    for stored in (resumed, RunDir.peek(run.path / "eval" / "same")):
        assert {one.id: one.prompt_ids for part in stored.shards() for one in load_rollouts(stored, part)} == expected


def test_another_run_has_the_date_of_its_own_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made(tmp_path, DATED)
    for day in (1, 2):
        set_date(monkeypatch, day)
        other = RunDir.create(tmp_path / f"run-{day}", run.config)
        load_prompts(other)
        assert other.template_time.day == day


def test_a_date_among_the_settings_wins(tmp_path: Path) -> None:
    template = (
        "{% if date_string is not defined %}{% set date_string = strftime_now('%Y') %}{% endif %}{{ date_string }}"
    )
    run = made(tmp_path, template, data={"chat_template_kwargs": {"date_string": "26 Jul 2024"}})
    tokenizer = run_tokenizer(run)
    assert tokenizer.decode(prompt_ids(tokenizer, [message("user", "1?")])) == "26 Jul 2024"


def test_a_saved_tokenizer_keeps_neither_settings_nor_date(tmp_path: Path) -> None:
    run = make_run(tmp_path, data={"chat_template_kwargs": {"enable_thinking": False}})
    run_tokenizer(run).save_pretrained(tmp_path / "saved")
    assert not any("enable_thinking" in file.read_text("utf-8") for file in (tmp_path / "saved").iterdir())
