"""Settings: what the YAML says is what the run does, and a typo never passes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from learnalign import demo, names
from learnalign.config import Config, build_config, dump_config, load_config, loading, ready_configs
from learnalign.config.keys import keys
from learnalign.config.trainer_fields import OWNED
from learnalign.config.yaml_text import parse_yaml, read_yaml, write_yaml
from learnalign.errors import InputError

ROOT = Path(__file__).parents[1]
READY = {name: ROOT / "configs" / f"{name}.yaml" for name in ready_configs()}
TEST_SETS = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / "configs" / "eval").glob("*.yaml")}
LEAST = {"model": {"name": "m"}, "data": {"path": "d"}}


@pytest.mark.parametrize("name", READY)
def test_every_ready_config_loads_by_path_and_by_name(name: str) -> None:
    assert load_config(READY[name]) == load_config(name)


@pytest.mark.parametrize("name", READY)
def test_a_resolved_config_reads_back_equal(name: str, tmp_path: Path) -> None:
    config = load_config(name)
    (tmp_path / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    assert load_config(tmp_path / "config.yaml") == config


def test_defaults_are_the_papers() -> None:
    """LearnAlign §5.1 and Table 6, GSM8K column."""
    config = build_config(LEAST)
    warmup = config.warmup.model_dump(exclude={"trainer", "seed", "lora", "steps", "mini_batch_size", "report_to"})
    assert warmup == {
        "size": 300,
        "num_train_epochs": 2,
        "batch_size": 48,
        "num_generations": 8,
        "learning_rate": 1e-6,
        "beta": 0.04,
        "epsilon": 0.2,
        "temperature": 1.0,
        "max_completion_length": 1024,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.1,
    }
    assert (config.data.max_prompt_tokens, config.grad.dim, config.select.size) == (512, 8192, 1000)


def test_the_papers_pools_have_the_papers_settings() -> None:
    gsm8k, dapo = load_config("gsm8k"), load_config("dapo-math-17k")
    assert (gsm8k.model.name, dapo.model.name) == ("Qwen/Qwen2.5-1.5B-Instruct", "Qwen/Qwen2.5-3B")
    assert (gsm8k.grad.rollouts, dapo.grad.rollouts) == ("all", "one-correct")
    assert (gsm8k.warmup.size, gsm8k.warmup.batch_size, gsm8k.warmup.max_completion_length) == (300, 48, 1024)
    assert (dapo.warmup.size, dapo.warmup.batch_size, dapo.warmup.max_completion_length) == (1000, 64, 2048)
    assert "<think> reasoning process here </think> <answer> answer here </answer>." in (gsm8k.data.system_prompt or "")
    assert dapo.data.system_prompt == r"Let's think step by step and output the final answer within \boxed{ }."


def test_a_ready_config_is_every_file_and_every_file_is_in_the_wheel(tmp_path: Path) -> None:
    """Built as pip builds it: configs of all folders load from there, by name."""
    files = {path.relative_to(ROOT / "configs") for path in (ROOT / "configs").rglob("*.yaml")}
    assert {
        str(file.with_suffix("")) for file in files if file.parent.name not in ("accelerate", "eval", "tables")
    } == set(READY)
    setup = [sys.executable, "-c", "import setuptools; setuptools.setup()"]
    into = ["egg_info", "--egg-base", str(tmp_path), "build_py", "--build-lib", str(tmp_path)]
    built = subprocess.run([*setup, "-q", *into], cwd=ROOT, capture_output=True, check=True, text=True)
    assert "absent from the" not in built.stderr + built.stdout
    embedded = ["model/model.safetensors", *(str(path.relative_to(demo.path())) for path in demo.POOLS.values())]
    assert [name for name in embedded if not (tmp_path / "learnalign" / "demo" / name).is_file()] == []
    built_configs = tmp_path / "learnalign_configs"
    assert {path.relative_to(built_configs) for path in built_configs.rglob("*.yaml")} == files
    code = (
        "import json, learnalign; from learnalign.config import load_config, ready_configs; "
        "from learnalign.evaluation.testset import test_sets; "
        "print(json.dumps([learnalign.__file__, [load_config(n).model.name for n in ready_configs()], list(test_sets())]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, check=True
    )
    where, models, test_sets = json.loads(result.stdout)
    assert where.startswith(str(tmp_path))
    assert len(models) == len(READY)
    assert set(test_sets) == set(TEST_SETS)


def write(folder: Path, name: str, **settings: Any) -> Path:
    (folder / name).write_text(yaml.safe_dump(settings), encoding="utf-8")
    return folder / name


def test_a_config_stands_on_its_base_section_by_section(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", base="demo", data={"limit": 9}, rollout={"vllm": {"dtype": "half"}})
    config = load_config(write(tmp_path, "b.yaml", base="a.yaml", data={"solution": None}, seed=7))
    demo = load_config("demo")
    assert config.data == demo.data.model_copy(update={"limit": 9, "solution": None})
    assert config.rollout == demo.rollout.model_copy(update={"vllm": {"max_model_len": 512, "dtype": "half"}})
    assert (config.seed, config.warmup, config.model) == (7, demo.warmup, demo.model)


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ("a.yaml", "base: a.yaml is based on this file itself"),
        ("b.yaml", "base: a.yaml is based on this file itself"),
        ("gsm9k", "a.yaml: base: config gsm9k: no such file"),
        (["demo"], r"base: got ['demo'], but it should be the name"),
    ],
)
def test_a_base_that_cannot_be_is_refused(tmp_path: Path, base: Any, words: str) -> None:
    write(tmp_path, "b.yaml", base="a.yaml")
    with pytest.raises(InputError) as caught:
        load_config(write(tmp_path, "a.yaml", base=base))
    assert words in str(caught.value)


def test_the_papers_models_have_the_papers_settings() -> None:
    """LearnAlign Table 6; GAIN-RL App. E.1 and E.2."""
    for name, model in {
        "learnalign-gsm8k-3b": "Qwen/Qwen2.5-3B-Instruct",
        "learnalign-gsm8k-7b": "Qwen/Qwen2.5-7B-Instruct",
        "learnalign-gsm8k-llama": "meta-llama/Llama-3.2-3B-Instruct",
        "learnalign-dapo-7b": "Qwen/Qwen2.5-7B",
        "learnalign-dapo-llama": "meta-llama/Llama-3.2-3B-Instruct",
    }.items():
        config, paper = load_config(f"papers/{name}"), load_config("gsm8k" if "gsm8k" in name else "dapo-math-17k")
        assert config == paper.model_copy(update={"model": paper.model.model_copy(update={"name": model})})
    for pool in ("deepscaler", "math", "amc"):
        config, paper = load_config(f"papers/learnalign-{pool}"), load_config("dapo-math-17k")
        assert config.model_copy(update={"data": paper.data}) == paper
        assert (config.data.prompt, config.data.prompt_regex, config.data.max_prompt_tokens) == ("problem", None, 512)


@pytest.mark.parametrize(
    ("name", "model", "prompt", "completion"),
    [
        ("gain-deepscaler-7b", "Qwen/Qwen2.5-Math-7B-Instruct", 1024, 8192),
        ("gain-deepscaler-1.5b", "Qwen/Qwen2.5-Math-1.5B-Instruct", 1024, 3000),
        ("adarft-deepscaler", "Qwen/Qwen2.5-Math-1.5B-Instruct", 1024, 3000),
        ("gain-deepscaler-llama", "meta-llama/Llama-3.2-3B-Instruct", 1024, 3000),
        ("gain-gsm8k", "Qwen/Qwen2.5-0.5B-Instruct", 512, 512),
        ("gain-math", "Qwen/Qwen2.5-0.5B-Instruct", 512, 512),
        ("gain-amc", "Qwen/Qwen2.5-0.5B-Instruct", 512, 512),
    ],
)
def test_gain_s_pools_have_the_settings_of_its_appendix_e(name: str, model: str, prompt: int, completion: int) -> None:
    config = load_config(f"papers/{name}")
    train, gain = config.train.over(config.warmup), config.train.gain
    assert (config.model.name, config.data.max_prompt_tokens) == (model, prompt)
    assert (train.max_completion_length, config.rollout.max_completion_length) == (completion, completion)
    assert (train.batch_size, train.num_generations, train.learning_rate, train.beta) == (1024 * 8, 8, 1e-6, 0.001)
    assert (train.steps, train.mini_batch_size, config.train.keep_checkpoints) == (200, 256 * 8, 20)
    assert (config.signal.policy, gain.step_min) == ("base", 0)
    assert (gain.alpha, gain.beta, gain.gamma, config.signal.angle_weight) == (2, 0.5, 0.5, 1)
    assert config.train.curriculum == name.partition("-")[0]
    assert config.warmup.size == 0
    assert config.data.system_prompt
    assert config.data.few_shot


def test_every_test_set_says_how_many_questions_it_has() -> None:
    uncounted = {"livecodebench-files", "codeforces", "codeforces-official"}  # by date; nobody says how many
    counts = {name: test["eval"]["questions"] for name, test in TEST_SETS.items() if name not in uncounted}
    for name, count in counts.items():
        assert f"{count:,}" in names.TEST_SETS[name] or name == "math500"
    assert (counts["math500"], counts["gsm8k"], counts["aime24"]) == (500, 1319, 30)


def test_the_test_sets_can_give_the_values_that_the_papers_print() -> None:
    """Of n questions, k right are 100 k/n %. GAIN-RL Tables 1, 3 and 5, LearnAlign §5.3; one value of AMC is cut, not rounded."""
    amc = [38.55, 40.96, 43.37, 19.28, 18.07, 21.69, 40.96, 42.17, 45.78, 7.23, 8.43, 9.64, 9.64, 12.04]
    olympiad = [25.63, 26.07, 27.26, 11.70, 12.89, 14.22, 25.78, 25.33, 26.81]
    for name, printed, fitting in (("amc", amc, 13), ("olympiadbench", olympiad, 9), ("math", [63.12, 64.22], 2)):
        n = TEST_SETS[name]["eval"]["questions"]
        possible = {round(100 * k / n, 2) for k in range(n + 1)}
        assert sum(value in possible for value in printed) == fitting
    # GAIN-RL Table 2: pass@8 of LiveCodeBench; pass@1 over 8 completions of it and of HumanEval+, which 1 cannot give.
    for name, printed, each in (
        *(("livecodebench", [21.5, 25.1], 1), ("livecodebench", [10.8, 12.8], 8)),
        ("humanevalplus", [78.3, 81.5], 8),
    ):
        n = each * TEST_SETS[name]["eval"]["questions"]
        assert set(printed) <= {round(100 * k / n, 1) for k in range(n + 1)}
    assert not {78.3, 81.5} & {round(100 * k / 164, 1) for k in range(165)}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("grad.dims=3", "did you mean grad.dim?"),
        ("learning_rate=1", "did you mean warmup.learning_rate?"),
        ("waarmup.size=3", "did you mean warmup?"),
        ("train.until=20", "got 20, but this is a section: give its keys, patience, min_delta"),
        ("rollout=20", "got 20, but this is a section: give its keys, engine, num_generations"),
        ("grad.beta=-1", "grad.beta: got -1"),
        ("grad.batch_tokens=many", "grad.batch_tokens: got 'many'"),
        ("warmup.lora.rank=8", "unknown key warmup.lora.rank"),
        ("train.lora.rank=8", "unknown key train.lora.rank; known here: r,"),
        ("data.few_shot=[{question: 2+2}]", "data.few_shot.0.answer is required"),
        ("select.size=1.5", "select.size: got 1.5"),
        ("data.answer_regex=(", "not a regular expression"),
        ("grad.dim", "expected KEY=VALUE"),
        ("model.name.x=1", "model.name is not a section"),
    ],
)
def test_a_wrong_override_is_refused_by_name(override: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        load_config("demo", [override])
    assert words in str(caught.value)


def test_overrides_apply_in_order_and_reach_any_key() -> None:
    config = load_config("demo", ["grad.dim=4", "grad.dim=4096", "warmup.lora={r: 8}", "warmup.learning_rate=5e-6"])
    assert config.grad.dim == 4096
    assert config.warmup.lora is not None
    assert config.warmup.lora.r == 8
    assert config.warmup.learning_rate == 5e-6


def test_a_regex_that_yaml_takes_for_a_comment_is_itself() -> None:
    assert load_config("demo", [r"data.answer_regex=####\s*(.+)"]).data.answer_regex == r"####\s*(.+)"
    assert load_config("demo", ["data.answer_regex=null"]).data.answer_regex is None


def test_a_config_that_is_not_there_names_the_ready_ones() -> None:
    with pytest.raises(InputError, match="ready configs: .*demo.*gsm8k"):
        load_config("no-such-config")


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1\n", ""])
def test_a_file_that_is_not_a_mapping_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="c.yaml"):
        load_config(tmp_path / "c.yaml")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda x: st.lists(x) | st.dictionaries(st.text(max_size=5), x),
    )
)
def test_any_yaml_value_gives_a_config_or_an_input_error(value: object) -> None:
    for settings in (value, {**LEAST, "grad": value}, {**LEAST, "data": value}):
        try:
            assert isinstance(build_config(yaml.safe_load(yaml.safe_dump(settings))), Config)
        except InputError as error:
            assert "Traceback" not in str(error)


@pytest.mark.parametrize("section", ["warmup", "train"])
def test_the_number_of_steps_has_a_key_of_its_own(section: str) -> None:
    with pytest.raises(InputError, match=rf"{section}\.trainer\.max_steps is now called {section}\.steps"):
        build_config({**LEAST, section: {"trainer": {"max_steps": 5}}})


@pytest.mark.parametrize("section", ["warmup", "train"])
@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("seed", "set {seed} instead"),
        ("data_seed", "set {seed} instead"),
        ("learning_rate", "set {section}.learning_rate instead"),
        ("gradient_accumulation_steps", "set {section}.batch_size instead"),
        ("steps_per_generation", "set {section}.mini_batch_size instead"),
        ("chat_template_kwargs", "set data.chat_template_kwargs instead"),
        ("output_dir", "output_dir cannot be set; everything goes into the run directory"),
    ],
)
def test_a_field_of_trl_that_cannot_be_set_is_refused_with_the_settings(section: str, field: str, words: str) -> None:
    seed = "train.seed" if section == "train" else "seed"
    said = words.format(section=section, seed=seed)
    with pytest.raises(InputError, match=rf"^config: {section}\.trainer: .*{re.escape(said)}"):
        build_config({**LEAST, section: {"trainer": {field: 1}}})


def test_every_key_in_place_of_a_field_of_trl_is_one() -> None:
    every = {key.key for key in keys("")}
    named = {part for key in OWNED.values() for part in re.split(", | or ", key)}
    formatted = {part.format(section=s, seed="train.seed") for part in named for s in ("warmup", "train")}
    assert formatted <= every


def test_a_training_s_length_is_the_warmup_s_unless_it_has_one() -> None:
    warmup = {"steps": 7}
    train = {"none": {}, "epochs": {"num_train_epochs": 3}, "steps": {"steps": 9}}
    configs = {name: build_config({**LEAST, "warmup": warmup, "train": own}) for name, own in train.items()}
    lengths = {name: config.train.over(config.warmup) for name, config in configs.items()}
    assert [lengths[name].steps for name in train] == [7, None, 9]
    assert lengths["epochs"].num_train_epochs == 3


def test_ppo_is_refused_with_the_way_to_it() -> None:
    with pytest.raises(InputError, match=r"train\.algorithm: .*no PPO in TRL 1\.16.*rloo.*verl"):
        build_config({**LEAST, "train": {"algorithm": "ppo"}})
    with pytest.raises(InputError, match=r"train\.algorithm: .*did you mean grpo"):
        build_config({**LEAST, "train": {"algorithm": "gprpo"}})


def test_a_renamed_key_is_refused_with_its_new_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(loading.RENAMED, "grad.width_of_sketch", "grad.width")
    with pytest.raises(InputError, match=r"grad\.width_of_sketch is now called grad\.width"):
        build_config({"model": {"name": "demo"}, "data": {"path": "demo"}, "grad": {"width_of_sketch": 64}})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[
            (text, text)
            for text in ("yes", "No", "on", "OFF", "y", "1:30", "010", "0x10", "0o7", "1_000", "2024-01-01", "<<", "=")
        ],
        *[
            ("1e-6", 1e-6),
            ("1E6", 1e6),
            ("-.5", -0.5),
            ("1.", 1.0),
            ("+3", 3),
            ("0", 0),
            ("-0.0", 0.0),
            ("1e", "1e"),
            ("'5'", "5"),
        ],
        *[("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("9" * 5000, "9" * 5000)],
    ],
)
def test_yaml_is_read_by_the_core_schema_of_1_2(text: str, value: Any, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(f"a: {text}\n", encoding="utf-8")
    read = read_yaml(tmp_path / "c.yaml", "config")["a"]
    assert (read, type(read)) == (value, type(value))


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"))
    | st.from_regex(r"[-+]?[0-9._:eExo]{1,6}", fullmatch=True)
    | st.sampled_from(["yes", "1e-6", "010", "null", "true", "2024-01-01"])
)


@given(st.recursive(SCALARS, lambda x: st.lists(x, max_size=4) | st.dictionaries(st.text(max_size=5), x, max_size=4)))
def test_written_yaml_is_read_back_the_same_by_either_version(value: Any) -> None:
    text = write_yaml({"a": value})
    assert yaml.safe_load(text) == {"a": value}
    if "\0" not in text and "\\0" not in text:
        assert parse_yaml(text) == {"a": value}


@pytest.mark.parametrize(
    "make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to(path), lambda path: path.symlink_to("/dev/zero")]
)
def test_a_config_that_is_no_file_is_refused_before_it_is_read(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    make(path)
    with pytest.raises(InputError, match=r"config .*c\.yaml: .*one of the ready configs"):
        load_config(path)


@pytest.mark.parametrize("name", ["~nosuchuser/c.yaml", "x" * 5000])
def test_a_config_at_no_path_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="not a path"):
        load_config(name)


@pytest.mark.parametrize(
    "override",
    [
        *(
            "seed=-1",
            "seed=4294967296",
            "seed=1e30",
            "rollout.num_generations=1000000000",
            "warmup.batch_size=100000000",
        ),
        *("rollout.temperature=1e-320", "rollout.temperature=0.001", "warmup.temperature=1e-9", "warmup.temperature=0"),
        *("train.temperature=1e-320", "eval.temperature=1e-320", "grad.dim=1e12", "grad.width=1e9"),
    ],
)
def test_numbers_that_no_stage_can_work_with_are_refused(override: str) -> None:
    with pytest.raises(InputError, match=f"{override.partition('=')[0]}: got"):
        load_config("demo", [override])
