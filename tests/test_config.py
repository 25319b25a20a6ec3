"""Settings: what the YAML says is what the run does, and a typo never passes."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from learnalign.config import Config, build_config, dump_config, load_config, loading
from learnalign.errors import InputError

READY = sorted(path for path in (Path(__file__).parents[1] / "configs").glob("*.yaml"))
LEAST = {"model": {"name": "m"}, "data": {"path": "d"}}


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_every_ready_config_loads_by_path_and_by_name(path: Path) -> None:
    assert load_config(path) == load_config(path.stem)


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_a_resolved_config_reads_back_equal(path: Path, tmp_path: Path) -> None:
    config = load_config(path)
    (tmp_path / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    assert load_config(tmp_path / "config.yaml") == config


def test_defaults_are_the_papers() -> None:
    """LearnAlign §5.1 and Table 6, GSM8K column."""
    config = build_config(LEAST)
    warmup = config.warmup.model_dump(exclude={"trainer", "seed", "lora", "steps", "mini_batch_size"})
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


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("grad.dims=3", "did you mean grad.dim?"),
        ("learning_rate=1", "did you mean warmup.learning_rate?"),
        ("waarmup.size=3", "did you mean warmup?"),
        ("grad.beta=-1", "grad.beta: got -1"),
        ("grad.batch_tokens=many", "grad.batch_tokens: got 'many'"),
        ("warmup.lora.rank=8", "unknown key warmup.lora.rank"),
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
