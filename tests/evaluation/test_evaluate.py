"""Evaluations end to end on tiny models: policies, sampling, metrics, resume, refusals."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from learnalign.config import build_config
from learnalign.errors import InputError, RunError
from learnalign.evaluation import evaluate
from learnalign.evaluation.testset import default_name, evaluation_config, settings_of, test_sets
from learnalign.names import TEST_SETS
from learnalign.policy import load_policy, load_tokenizer, model_path
from learnalign.prompts import load_prompts, read_pool
from learnalign.rollouts import load_rollouts
from learnalign.rundir import RunDir
from learnalign.training import train, warmup
from tests.tiny import make_config, make_run, save_pool
from tests.training.coin_verifier import worth

WARMUP: dict[str, Any] = {"size": 4, "num_train_epochs": 1, "batch_size": 8, "num_generations": 4}
WARMUP |= {"max_completion_length": 6, "learning_rate": 1e-3}


def _run(folder: Path, warm: dict[str, Any] | None = None, **sections: Any) -> RunDir:
    sections = {"verifier": "tests.training.coin_verifier:coin", **sections}
    return make_run(folder, 12, warmup=warm or {"size": 0}, **sections)


def _questions(folder: Path, count: int = 7) -> str:
    return str(save_pool(folder / "test.jsonl", count))


def test_importing_evaluation_brings_no_trainer() -> None:
    code = "import learnalign.evaluation, sys; print(sorted({'trl', 'peft'} & sys.modules.keys()))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_a_greedy_evaluation_is_the_share_of_correct_answers(tmp_path: Path) -> None:
    run = _run(tmp_path)
    result = evaluate(run, _questions(tmp_path), policy="base")
    sub = RunDir.open(result.directory)
    texts = [one.text for shard in sub.shards() for one in load_rollouts(sub, shard)]
    rewards = [worth(text) for text in texts]
    scored = [reward for reward in rewards if reward is not None]
    assert result.value == pytest.approx(sum(scored) / len(scored))
    assert (result.questions, result.samples, result.unscored) == (7, 7, 7 - len(scored))
    assert result.temperature == 0
    stored = json.loads(result.file.read_text())
    assert result.file == run.path / "eval" / "test-base.json"
    assert stored["value"] == result.value
    assert stored["metrics"]["greedy"]["low"] <= result.value <= stored["metrics"]["greedy"]["high"]
    assert (stored["metric"], list(stored["metrics"])) == ("greedy", ["greedy"])
    assert stored["settings"]["rollout"]["temperature"] == 0
    assert stored["interval"].startswith("95 %")


def test_greedy_takes_the_most_probable_token_every_time(tmp_path: Path) -> None:
    import torch

    run = _run(tmp_path)
    sub = RunDir.open(evaluate(run, _questions(tmp_path), policy="base").directory)
    model, tokenizer = load_policy(sub), load_tokenizer(sub.config)
    one = load_rollouts(sub, sub.shards()[0])[0]
    with torch.no_grad():
        logits = model(torch.tensor([[*one.prompt_ids, *one.completion_ids]])).logits[0, len(one.prompt_ids) - 1 : -1]
    assert logits.argmax(-1).tolist() == one.completion_ids
    assert tokenizer.decode(one.completion_ids, skip_special_tokens=True) == one.text


def test_several_completions_give_pass_at_k_and_avg_at_k(tmp_path: Path) -> None:
    run = _run(tmp_path)
    overrides = ["eval.num_generations=4", "eval.metric=avg@4"]
    result = evaluate(run, _questions(tmp_path), policy="base", overrides=overrides)
    assert result.temperature == 1.0
    assert list(result.metrics) == ["avg@4", "pass@1", "pass@2", "pass@4"]
    sub = RunDir.open(result.directory)
    groups: dict[str, list[float]] = {}
    for shard in sub.shards():
        for one in load_rollouts(sub, shard):
            if (reward := worth(one.text)) is not None:
                groups.setdefault(one.id, []).append(reward)
    expected = []
    for rewards in groups.values():
        if len(rewards) >= 2:
            wrong = len(rewards) - int(sum(rewards))
            expected.append(1 - math.comb(wrong, 2) / math.comb(len(rewards), 2))
    assert result.metrics["pass@2"].value == pytest.approx(sum(expected) / len(expected))
    assert result.metrics["pass@2"].questions == len(expected)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], ("greedy", 0.0)),
        (["eval.metric=greedy"], ("greedy", 0.0)),
        (["eval.temperature=0"], ("greedy", 0.0)),
        (["eval.metric=pass@1"], ("pass@1", 0.9)),
        (["eval.metric=avg@1"], ("avg@1", 0.9)),
        (["eval.temperature=0.7"], ("pass@1", 0.7)),
        (["eval.num_generations=2"], ("pass@1", 0.9)),
        (["eval.metric=pass@2", "eval.num_generations=2", "eval.temperature=0.7"], ("pass@2", 0.7)),
    ],
)
def test_a_metric_s_name_says_whether_completions_are_sampled(
    tmp_path: Path, overrides: list[str], expected: tuple[str, float]
) -> None:
    config = evaluation_config(_run(tmp_path, rollout={"temperature": 0.9}), _questions(tmp_path), "base", overrides)
    assert (config.eval.metric, config.rollout.temperature) == expected


def test_an_evaluation_of_a_former_version_is_read_and_named_anew(tmp_path: Path) -> None:
    """Its config.yaml calls the greedy share of correct answers pass@1."""
    run, questions = _run(tmp_path), _questions(tmp_path)
    new = evaluate(run, questions, policy="base")
    part = new.directory / "rollouts" / "part-00000.parquet"
    before = part.stat().st_mtime_ns
    settings = RunDir.peek(new.directory).config.model_dump(mode="json")
    settings["eval"]["metric"] = "pass@1"
    former = build_config(settings)
    RunDir(new.directory, former).save_config()
    assert RunDir.open(new.directory).config.eval.metric == "pass@1"
    again = evaluate(run, questions, policy="base")
    assert (again.metric, again.metrics) == ("greedy", new.metrics)
    with pytest.raises(
        InputError, match=r"greedy decoding, which eval\.metric: pass@1 once meant.*--set eval\.metric=greedy"
    ):
        evaluate(run, questions, policy="base", overrides=["eval.metric=pass@1"])
    assert part.stat().st_mtime_ns == before


@pytest.mark.parametrize("lora", [None, pytest.param({"r": 4}, marks=pytest.mark.slow)])
def test_it_evaluates_the_policy_the_base_model_and_a_training(tmp_path: Path, lora: Any) -> None:
    run = _run(tmp_path, {**WARMUP, "lora": lora})
    warmup(run)
    questions = _questions(tmp_path)
    trained = train(run, questions, "extra")
    for policy, path in (("policy", run.warmup_dir), ("train/extra", trained.policy), ("base", None)):
        result = evaluate(run, questions, policy=policy)
        assert result.name == f"test-{policy.replace('/', '-')}"
        model = RunDir.open(result.directory).config.model
        if path is None:
            assert (model.name, model.adapter) == (model_path(run.config), None)
        elif lora:
            assert (model.name, model.adapter) == (model_path(run.config), str(path.resolve()))
        else:
            assert model.name == str(path.resolve())
    assert evaluate(run, questions, policy=str(run.warmup_dir)).policy == str(run.warmup_dir)


def test_base_is_the_base_model_even_if_the_run_has_an_adapter(tmp_path: Path) -> None:
    run = _run(tmp_path)
    model = run.config.model.model_copy(update={"adapter": str(tmp_path / "adapter")})
    adapted = RunDir(run.path, run.config.model_copy(update={"model": model}))
    for name in ("base", model_path(run.config)):
        assert evaluation_config(adapted, _questions(tmp_path), name, []).model.adapter is None


def test_an_interrupted_evaluation_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from learnalign.rollouts.stage import RolloutWorker

    run = _run(tmp_path)
    whole = evaluate(run, _questions(tmp_path), policy="base", name="whole")
    work = RolloutWorker._work
    calls: list[Any] = []

    def once(self: RolloutWorker, shard: Any, advance: Any) -> None:
        if calls:
            raise KeyboardInterrupt
        calls.append(shard)
        work(self, shard, advance)

    with monkeypatch.context() as patch:
        patch.setattr(RolloutWorker, "_work", once)
        with pytest.raises(KeyboardInterrupt):
            evaluate(run, _questions(tmp_path), policy="base", name="broken")
    part = run.path / "eval" / "broken" / "rollouts" / "part-00000.parquet"
    before = part.stat().st_mtime_ns
    assert not (run.path / "eval" / "broken.json").exists()
    result = evaluate(run, _questions(tmp_path), policy="base", name="broken")
    assert part.stat().st_mtime_ns == before
    assert result.metrics == whole.metrics


@pytest.mark.slow
def test_another_metric_samples_nothing_new_and_other_settings_are_refused(tmp_path: Path) -> None:
    run, questions = _run(tmp_path), _questions(tmp_path)
    first = evaluate(run, questions, policy="base", overrides=["eval.num_generations=4"])
    part = first.directory / "rollouts" / "part-00000.parquet"
    before = part.stat().st_mtime_ns
    again = evaluate(run, questions, policy="base", overrides=["eval.num_generations=4", "eval.metric=pass@4"])
    assert again.metric == "pass@4"
    assert part.stat().st_mtime_ns == before
    changed = ["eval.num_generations=4", "eval.temperature=0.5"]
    with pytest.raises(InputError, match=r"rollout\.temperature: stored 1\.0, requested 0\.5"):
        evaluate(run, questions, policy="base", overrides=changed)
    assert evaluate(run, questions, policy="base", overrides=changed, overwrite=True).temperature == 0.5


@pytest.mark.slow
def test_a_changed_policy_is_refused_until_overwritten(tmp_path: Path) -> None:
    run, questions = _run(tmp_path, WARMUP), _questions(tmp_path)
    warmup(run)
    evaluate(run, questions)
    (run.warmup_dir / "note.txt").write_text("another policy")
    with pytest.raises(
        InputError, match=r"model .* has changed.*pass --overwrite to make it again, or give another --name"
    ):
        evaluate(run, questions)
    evaluate(run, questions, overwrite=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"overrides": ["eval.num_generations=4", "eval.temperature=0"]}, "same completion every time"),
        ({"overrides": ["eval.metric=pass@8"]}, r"pass@8 needs 8 completions a question, eval\.num_generations is 1"),
        ({"overrides": ["eval.metric=accuracy"]}, r"eval\.metric"),
        (
            {"overrides": ["eval.metric=pass@1", "eval.temperature=0"]},
            r"pass@1 is of sampled .* --set eval\.metric=greedy",
        ),
        (
            {"overrides": ["eval.metric=greedy", "eval.temperature=0.8"]},
            r"greedy is of greedy .* --set eval\.metric=pass@1",
        ),
        ({"overrides": ["eval.metric=greedy", "eval.num_generations=4"]}, "same completion every time"),
        ({"overrides": ["eval.temprature=1"]}, r"did you mean eval\.temperature"),
        ({"policy": "nowhere"}, r"eval\.policy nowhere: no such directory"),
        ({"name": "../else"}, r"--name \.\./else: give letters"),
        ({"policy": "train/none"}, "no such training; this run has none"),
        ({"data": "mathh500.yaml"}, "did you mean math500. Ready test sets are .*math500"),
        ({"data": "gsm8k_sampled"}, "no such file or ready test set; did you mean gsm8k-sampled"),
        ({"data": "none.yaml"}, "no such file; ready test sets are .*math500"),
        ({"data": "nothing.jsonl"}, "nothing.jsonl: no such file"),
    ],
)
def test_invalid_arguments_are_refused_by_name(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    run = _run(tmp_path)
    arguments = {"data": _questions(tmp_path), **changes}
    with pytest.raises((InputError, RunError), match=words):
        evaluate(run, arguments.pop("data"), **arguments)
    assert not list((run.path / "eval").glob("*.json"))


def test_a_test_set_with_other_sections_is_refused(tmp_path: Path) -> None:
    run, file = _run(tmp_path), tmp_path / "set.yaml"
    file.write_text("data: {path: x.jsonl}\nmodel: {name: y}\n")
    with pytest.raises(InputError, match=r"a test set has data, verifier, .*, eval, not model"):
        evaluate(run, str(file))
    file.write_text("verifier: math\n")
    with pytest.raises(InputError, match=r"needs a `data` section with a path"):
        evaluate(run, str(file))


PAPERS = {  # name: path, split, metric, completions, temperature, top-p (LearnAlign §5.1; GAIN-RL Tables 1 and 2)
    "gsm8k": ("openai/gsm8k", "test", "greedy", 1, 0.0, 1.0),
    "gsm8k-sampled": ("openai/gsm8k", "test", "pass@1", 1, 0.8, 0.95),
    "math500": ("HuggingFaceH4/MATH-500", "test", "pass@1", 1, 0.8, 0.95),
    "math": ("zwhe99/MATH", "test", "pass@1", 1, 0.8, 0.95),
    "amc": ("AI-MO/aimo-validation-amc", "train", "avg@8", 8, 0.8, 0.95),
    "amc23": ("math-ai/amc23", "test", "avg@8", 8, 0.8, 0.95),
    "aime24": ("HuggingFaceH4/aime_2024", "train", "pass@8", 8, 0.8, 0.95),
    "cruxeval": ("cruxeval-org/cruxeval", "test", "pass@1", 1, 0.8, 0.95),
    "olympiadbench": ("math-ai/olympiadbench", "test", "greedy", 1, 0.0, 1.0),
    "minerva": ("math-ai/minervamath", "test", "greedy", 1, 0.0, 1.0),
    "cruxeval-input": ("cruxeval-org/cruxeval", "test", "pass@1", 1, 0.8, 0.95),
    "livecodebench": ("agentica-org/DeepCoder-Preview-Dataset", "test", "pass@1", 8, 0.8, 0.95),
    "livecodebench-files": ("livecodebench", "test", "pass@1", 8, 0.8, 0.95),
    "codeforces": ("agentica-org/DeepCoder-Preview-Dataset", "test", "pass@1", 8, 0.8, 0.95),
    "codeforces-official": ("open-r1/codeforces", "test", "pass@1", 8, 0.8, 0.95),
    "humanevalplus": ("evalplus/humanevalplus", "test", "pass@1", 8, 0.8, 0.95),
    "mbppplus": ("evalplus/mbppplus", "test", "greedy", 1, 0.0, 1.0),
}


def test_every_ready_test_set_is_listed_here() -> None:
    assert set(test_sets()) == set(PAPERS)


@pytest.mark.parametrize("name", sorted(PAPERS))
def test_a_ready_test_set_has_the_paper_s_metric_and_sampling(tmp_path: Path, name: str) -> None:
    run = _run(tmp_path, data={"system_prompt": "Think.", "limit": 5}, verifier="boxed")
    config = evaluation_config(run, name, "base", [])
    path, split, metric, completions, temperature, top_p = PAPERS[name]
    assert (config.data.path, config.data.split, config.eval.metric) == (path, split, metric)
    assert (config.rollout.num_generations, config.rollout.temperature, config.rollout.top_p) == (
        completions,
        temperature,
        top_p,
    )
    assert config.data.system_prompt == "Think."
    assert config.data.limit is None
    runs = "runs programs" in TEST_SETS[name]
    assert config.verifier == ("code" if runs else "boxed" if name != "cruxeval" else "literal")
    assert default_name(name, config.eval.policy) == f"{name}-base"
    assert default_name(f"sets/my {name}.jsonl", "train/x") == f"my-{name}-train-x"


ROWS = {
    "gsm8k": {"question": "1 + 1?", "answer": "One and one.\n#### 2"},
    "math500": {
        "problem": "1 + 1?",
        "answer": "2",
        "solution": "s",
        "subject": "Algebra",
        "level": 1,
        "unique_id": "a",
    },
    "math": {"problem": "1 + 1?", "expected_answer": "2", "solution": "s", "level": 1},
    "amc": {"id": 0, "problem": "1 + 1?", "answer": 2.0, "url": "u"},
    "amc23": {"id": 0, "question": "1 + 1?", "answer": 2.0, "url": "u"},
    "aime24": {"id": 60, "problem": "1 + 1?", "solution": "s", "answer": "2", "url": "u", "year": "2024"},
    "cruxeval": {"id": "sample_0", "code": "def f(x):\n    return {x: 1}[x] + 1", "input": "1", "output": "2"},
    "olympiadbench": {"question": "1 + 1?", "final_answer": ["$2$"], "solution": ["s"], "is_multiple_answer": False},
    "minerva": {"question": "1 + 1?", "answer": "2"},
}


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_ready_test_set_reads_rows_like_the_hub_s(tmp_path: Path, name: str) -> None:
    """Rows with the columns of the data sets on the hub, whose data is not in the repository."""
    run = _run(tmp_path, verifier="math")
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(ROWS[name]) + "\n")
    config = evaluation_config(run, name, "base", [f"data.path={file}"])
    (prompt,), left_out, _ = read_pool(config.data)
    assert not left_out
    assert prompt.answer.strip("$") in ("2", "2.0")
    text = prompt.messages[-1]["content"]
    assert text == "1 + 1?" if name != "cruxeval" else "return {x: 1}[x] + 1\n\nassert f(1) == ??" in text
    sub = RunDir.create(tmp_path / "sub", config)
    assert [one.id for one in load_prompts(sub)] == [prompt.id]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data: {path: a}\neval: 5\n", "eval: got 5, but this is a section"),
        ("data: {path: a}\neval: [a]\n", "eval: got"),
        ("data: [path]\n", "needs a `data` section with a path"),
        ("data: {path: a, path: b}\n", "the key path is in line 1 and again in line 1"),
        ("data: &a {path: *a}\n", "the alias"),
        ("data: {path: a}\neval: {policy: [a]}\n", "eval.policy: got"),
        (f"data: {'[' * 5000}\n", "nested deeper"),
    ],
)
def test_a_test_set_that_is_wrong_is_refused_by_name(text: str, words: str, tmp_path: Path) -> None:
    config, file = make_config(tmp_path), tmp_path / "set.yaml"
    file.write_text(text)
    with pytest.raises(InputError) as error:
        build_config(settings_of(config, str(file)), source=str(file))
    assert words in str(error.value)
    assert str(file) in str(error.value)


def test_an_override_that_is_no_section_is_refused(tmp_path: Path) -> None:
    run, data = _run(tmp_path), _questions(tmp_path)
    for override in ("eval=3", "model=x", "rollout=null"):
        with pytest.raises(InputError, match=f"{override.partition('=')[0]}: got .* this is a section"):
            evaluation_config(run, data, None, [override])
