"""Damaged files of models, tokenizers and adapters: each is one line that names the path and what is wrong."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from learnalign.config import Config
from learnalign.errors import InputError
from learnalign.policy import check_finite_files, check_models, load_model, load_policy, load_tokenizer, model_config
from learnalign.rollouts.engines.contract import stop_ids
from learnalign.rundir import RunDir
from tests.tiny import make_config, save_model

PLANTED = "UNPICKLED"
Damage = Callable[[Path], object]


class Bomb:
    """Unpickling it makes a file in the current directory."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (PLANTED, "w"))


def cut(name: str) -> Damage:
    return lambda path: (path / name).write_bytes((path / name).read_bytes()[:400])


def put(name: str, content: bytes) -> Damage:
    return lambda path: (path / name).write_bytes(content)


def change(name: str, **values: Any) -> Damage:
    return lambda path: (path / name).write_text(json.dumps({**json.loads((path / name).read_text()), **values}))


def weights(edit: Callable[[dict[str, torch.Tensor]], object]) -> Damage:
    """Edit the tensors of the only safetensors file."""

    def damage(path: Path) -> None:
        (file,) = path.glob("*.safetensors")
        tensors = load_file(file)
        edit(tensors)
        save_file(tensors, file, {"format": "pt"})

    return damage


def as_pickle(name: str, value: Any) -> Damage:
    def damage(path: Path) -> None:
        next(path.glob("*.safetensors")).unlink()
        (path / name).write_bytes(pickle.dumps(value))

    return damage


DEEP = b'{"a":' * 50_000 + b"1" + b"}" * 50_000
FIRST = "model.layers.0.mlp.down_proj.weight"
MODELS: dict[str, tuple[Damage, str]] = {
    "truncated": (cut("model.safetensors"), "deserializing header"),
    "empty": (put("model.safetensors", b""), "deserializing header"),
    "garbage": (put("model.safetensors", b"\xff" * 999), "deserializing header"),
    "no weights": (lambda path: (path / "model.safetensors").unlink(), "no file named model.safetensors"),
    "a lacking parameter": (weights(lambda tensors: tensors.pop(FIRST)), f"its files lack the parameter {FIRST}"),
    "more layers in config.json": (
        change("config.json", num_hidden_layers=3, layer_types=None),
        "its files lack the parameter model.layers.2.* and 8 more",
    ),
    "fewer layers in config.json": (
        change("config.json", num_hidden_layers=1, layer_types=None),
        "its files hold the parameter model.layers.1.* and 8 more",
    ),
    "another width": (change("config.json", hidden_size=32), "another shape .* stored .*64.* expected .*32"),
    "another vocabulary": (change("config.json", vocab_size=10**12), "another shape"),
    "no heads": (change("config.json", num_attention_heads=0), "ZeroDivisionError"),
    "a negative width": (change("config.json", hidden_size=-4), "negative"),
    "a word as a number": (change("config.json", vocab_size="x"), "vocab_size"),
    "half a config.json": (cut("config.json"), "not a valid JSON file"),
    "a list as config.json": (put("config.json", b"[]"), "TypeError"),
    "a nested config.json": (put("config.json", DEEP), "RecursionError"),
    "a pickle": (as_pickle("pytorch_model.bin", Bomb()), "pickle .* not opened; convert it to safetensors"),
}
TOKENIZERS = {
    "empty": put("tokenizer.json", b""),
    "truncated": cut("tokenizer.json"),
    "garbage": put("tokenizer.json", b"\xff\xfe" * 99),
    "a list": put("tokenizer.json", b"[]"),
    "settings are a list": put("tokenizer_config.json", b"[]"),
    "settings are nested": put("tokenizer_config.json", DEEP),
    "a template that is no text": put("chat_template.jinja", b"\xff{}"),
}
ADAPTERS: dict[str, tuple[Damage, str]] = {
    "no weights": (lambda path: (path / "adapter_model.safetensors").unlink(), "no adapter_model.safetensors"),
    "truncated": (cut("adapter_model.safetensors"), "deserializing header"),
    "a pickle": (as_pickle("adapter_model.bin", Bomb()), "pickle .* not opened"),
    "another rank": (change("adapter_config.json", r=8), "size mismatch"),
    "another kind": (change("adapter_config.json", peft_type="NONE"), "KeyError"),
    "half its settings": (cut("adapter_config.json"), "adapter"),
    "a lacking layer": (weights(lambda tensors: tensors.popitem()), "1 parameters are in only one"),
    "NaN": (weights(lambda tensors: next(iter(tensors.values())).fill_(torch.nan)), "lora_A.* is not finite"),
}


def adapter_on(model: Path, folder: Path) -> Path:
    settings = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear")
    get_peft_model(AutoModelForCausalLM.from_pretrained(model), settings).save_pretrained(folder)
    return folder


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.chdir(tmp_path)
    return make_config(tmp_path)


def one_line(error: pytest.ExceptionInfo[InputError], path: Path) -> str:
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 600
    assert "weights_only" not in message  # torch's advice to run the pickle
    assert not Path(PLANTED).exists()
    return message


@pytest.mark.parametrize("name", MODELS)
def test_a_damaged_model_is_one_line_with_and_without_reading_its_weights(tmp_path: Path, config: Config, name) -> None:
    damage, expected = MODELS[name]
    damage(tmp_path / "model")
    for read in (load_model, check_models):
        with pytest.raises(InputError, match=expected) as error:
            read(config)
        one_line(error, tmp_path / "model")


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_parameter_that_is_not_finite_is_named(tmp_path: Path, config: Config, value: float) -> None:
    weights(lambda tensors: tensors[FIRST][3].fill_(value))(tmp_path / "model")
    for read in (load_model, lambda config: check_finite_files(f"model {config.model.name}", config.model.name)):
        with pytest.raises(InputError, match=f"{FIRST} is not finite") as error:
            read(config)
        one_line(error, tmp_path / "model")


def test_a_name_that_the_hub_does_not_give_is_told_with_what_to_give(config: Config) -> None:
    settings = config.model_copy(update={"model": config.model.model_copy(update={"name": "nobody/no-such-model"})})
    words = "model.name nobody/no-such-model: not a directory, and the hub has no such model.*give a Hugging Face model directory"
    for read_model in (load_tokenizer, model_config):
        with pytest.raises(InputError, match=words):
            read_model(settings)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_damaged_tokenizer_is_one_line(tmp_path: Path, config: Config, name: str) -> None:
    TOKENIZERS[name](tmp_path / "model")
    with pytest.raises(InputError, match="cannot load a tokenizer") as error:
        load_tokenizer(config)
    one_line(error, tmp_path / "model")


def test_a_damaged_generation_config_is_one_line(tmp_path: Path, config: Config) -> None:
    put("generation_config.json", b"[1")(tmp_path / "model")
    with pytest.raises(InputError, match="generation_config.json") as error:
        stop_ids(config, config.model.name)
    one_line(error, tmp_path / "model")


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_damaged_adapter_is_one_line(tmp_path: Path, config: Config, name: str) -> None:
    damage, expected = ADAPTERS[name]
    adapter = adapter_on(tmp_path / "model", tmp_path / "adapter")
    damage(adapter)
    config = make_config(tmp_path, model={**config.model.model_dump(), "adapter": str(adapter)})
    run = RunDir.create(tmp_path / "run", config)
    with pytest.raises(InputError, match=expected) as error:
        load_policy(run)
    one_line(error, adapter)
    if name != "NaN":
        with pytest.raises(InputError, match=expected):
            check_models(config)


@pytest.mark.parametrize(
    ("changes", "expected"), [({"hidden_size": 32}, "size mismatch"), ({"num_hidden_layers": 3}, "another model")]
)
def test_an_adapter_of_another_model_is_refused(tmp_path: Path, config: Config, changes, expected: str) -> None:
    adapter = adapter_on(save_model(tmp_path / "other", **changes), tmp_path / "adapter")
    config = make_config(tmp_path, model={**config.model.model_dump(), "adapter": str(adapter)})
    for read in (lambda: load_policy(RunDir.create(tmp_path / "run", config)), lambda: check_models(config)):
        with pytest.raises(InputError, match=expected) as error:
            read()
        one_line(error, adapter)


def test_whole_models_and_adapters_pass(tmp_path: Path, config: Config) -> None:
    buffer = "model.layers.0.self_attn.rotary_emb.other"  # of an older format
    weights(lambda tensors: tensors.update({buffer: torch.ones(2)}))(tmp_path / "model")
    check_models(config)
    load_model(config)
    adapter = adapter_on(tmp_path / "model", tmp_path / "adapter")
    check_models(make_config(tmp_path, model={**config.model.model_dump(), "adapter": str(adapter)}))
    with pytest.raises(InputError, match=r"model.adapter .*nowhere"):
        check_models(make_config(tmp_path, model={**config.model.model_dump(), "adapter": str(tmp_path / "nowhere")}))
