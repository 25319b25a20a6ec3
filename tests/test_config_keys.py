"""`learnalign config` and the JSON schema: every key explained, and the schema says what the loader does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from learnalign.config import Config, build_config, flatten, load_config, loading, ready_configs
from learnalign.config.keys import json_schema, keys, type_of
from learnalign.config.preset import PRESETS
from learnalign.errors import InputError
from learnalign.names import METHODS, VERIFIERS
from learnalign_cli.config import config as show


def test_every_key_has_a_type_a_default_and_a_description() -> None:
    listed = {key.key: key for key in keys()}
    resolved = flatten(load_config("demo").model_dump(mode="json"))
    missing = {name for name in resolved if name not in listed and not name.startswith("rollout.vllm")}
    assert not missing
    assert {"base", "data.preset", "warmup.lora.r", "train.until.patience"} <= listed.keys()
    assert all(key.description and key.type not in ("", "a value") for key in listed.values())
    assert listed["select.method"].values == METHODS
    assert listed["warmup.learning_rate"].default == 1e-6
    assert listed["model.name"].required
    assert listed["grad.width"].type == "an integer from 1 to 1,024"


def test_a_section_or_a_key_alone_and_the_nearest_to_a_typo() -> None:
    assert next(key.key for key in keys("train.gain")) == "train.gain.sigma"
    assert [key.key for key in keys("grad.dim")] == ["grad.dim"]
    with pytest.raises(InputError, match=r"unknown key grad.dimm; did you mean grad.dim\?"):
        keys("grad.dimm")
    with pytest.raises(InputError, match="known here: base, seed|known here: seed"):
        keys("zzzzzz.x")


def test_names_have_a_line_each_though_another_value_may_stand_for_them(capsys: pytest.CaptureFixture[str]) -> None:
    show("verifier")
    told = capsys.readouterr().out
    assert "type: one of the names below, or package.module:function\n" in told
    assert all(name in told and about[:20] in told for name, about in VERIFIERS.items())
    show("train.report_to")
    told = capsys.readouterr().out
    assert "type: one of the names below, or a list of some of none, tensorboard, wandb, trackio" in told


def test_the_command_prints_a_schema_that_takes_every_ready_config_and_refuses_what_the_loader_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    show(schema=True)
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for path in ready_configs().values():
        validator.validate(loading.read_yaml(path, "config"))
    for wrong in (
        {"selekt": {}},
        {"select": {"method": "foo"}},
        {"grad": {"dim": 0}},
        {"verifier": "mth"},
        {"data": {"preset": "foo"}},
        {"select": {"size": 1.5}},
        {"train": {"algorithm": "ppo"}},
    ):
        assert not validator.is_valid(wrong), wrong
        with pytest.raises(InputError):
            build_config({"model": {"name": "m"}, **wrong, "data": {"path": "d", **wrong.get("data", {})}})


def test_the_schema_is_not_changed_by_its_readers() -> None:
    before = json.dumps(json_schema())
    keys()
    assert json.dumps(json_schema()) == before


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("select.size=abc", "got 'abc', but it should be an integer of 1 or more, or a number above 0 and below 1"),
        ("grad.dim=abc", "got 'abc', but it should be an integer from 1 to 1,048,576"),
        ("grad.beta=abc", "got 'abc', but it should be a number of 0 or more"),
        ("model.dtype=half", "got 'half', but it should be one of auto, float32, bfloat16, float16"),
        ("grad.batch_tokens=x", "got 'x', but it should be an integer of 1 or more, or auto"),
        ("rollout.adaptive=x", "got 'x', but it should be true or false"),
        ("data.few_shot=[{question: 1, answer: a}]", "data.few_shot.0.question: got 1, but"),
    ],
)
def test_a_wrong_value_is_told_in_plain_words_once_and_by_its_override(override: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        load_config("demo", ["seed=3", override])
    assert str(caught.value).startswith(f"--set {override}: ")
    assert words in str(caught.value)
    assert str(caught.value).count("it should be") <= 1
    assert "demo.yaml" not in str(caught.value)


def test_a_fault_of_the_file_names_the_file_and_one_of_an_override_the_override(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("base: demo\ngrad: {dimm: 3}\n")
    with pytest.raises(InputError) as caught:
        load_config(tmp_path / "c.yaml", ["data.pompt=x", "grad.width=8"])
    assert str(caught.value) == (
        f"{tmp_path}/c.yaml: unknown key grad.dimm; did you mean grad.dim?; "
        "--set data.pompt=x: unknown key data.pompt; did you mean data.prompt?"
    )


MODEL = {"model": {"name": "m"}}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_gives_columns_that_explicit_keys_override_and_the_resolved_config_repeats(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "a.yaml").write_text(json.dumps({**MODEL, "data": {"preset": name, "path": "x.jsonl", "id": "key"}}))
    config = load_config(tmp_path / "a.yaml")
    assert config.data.model_dump(include={*PRESETS[name].columns}) == PRESETS[name].columns
    assert (config.data.path, config.data.name, config.data.id) == ("x.jsonl", None, "key")
    assert config.verifier == PRESETS[name].verifier
    own = load_config(tmp_path / "a.yaml", ["data.answer=gold", f"data.preset={name}", "verifier=exact"])
    assert (own.data.answer, own.verifier) == ("gold", "exact")
    (tmp_path / "b.yaml").write_text(loading.dump_config(config))
    assert load_config(tmp_path / "b.yaml") == config


def test_a_preset_of_a_data_set_knows_its_hub_name_and_equals_the_ready_config(tmp_path: Path) -> None:
    for preset, ready in (("gsm8k", "gsm8k"), ("dapo", "dapo-math-17k")):
        (tmp_path / "a.yaml").write_text(json.dumps({**MODEL, "data": {"preset": preset}}))
        config, paper = load_config(tmp_path / "a.yaml").data, load_config(ready).data
        assert config == paper.model_copy(update={"system_prompt": config.system_prompt})


def test_a_preset_leaves_no_column_of_its_base(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(json.dumps({"base": "gsm8k", "data": {"preset": "openrlhf", "path": "p.jsonl"}}))
    data = load_config(tmp_path / "a.yaml").data
    assert (data.prompt, data.answer, data.answer_regex, data.solution) == ("input", "label", None, None)


@pytest.mark.parametrize("settings", [{"data": {"preset": "gsm9k"}}, {"data": {"preset": ["x"]}}])
def test_an_unknown_preset_is_refused_with_the_known_ones(settings: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(json.dumps({**MODEL, **settings}))
    with pytest.raises(InputError, match=r"a.yaml: data.preset: got .*known are gsm8k, math"):
        load_config(tmp_path / "a.yaml")


def test_types_are_told_of_keys_alone() -> None:
    assert type_of("grad.dim") == "an integer from 1 to 1,048,576"
    assert type_of("data.few_shot.0.question") is None
    assert "base" not in Config.model_fields
