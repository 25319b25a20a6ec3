"""The bound on a text's tokens: never more than it has, and none where a token may stand for any number of characters."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from learnalign.policy import longest_token
from tests.tiny import save_tokenizer

BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False)
TEXTS = ["the the the    then", "e\u0301e\u0301e\u0301 the", "\u1112\u1161\u11ab" * 4]


def byte_level(normalizer: Any = None, pre_tokenizer: Any = BYTES) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE())
    backend.normalizer, backend.pre_tokenizer = normalizer, pre_tokenizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(TEXTS * 5, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet))
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def with_fallback(kind: type, **options: Any) -> PreTrainedTokenizerFast:
    vocab = {f"<0x{byte:02X}>": byte for byte in range(256)} | {"<unk>": 256, "a": 257, "\u2581": 258}
    backend = Tokenizer(models.BPE(vocab=vocab, merges=[], byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    return PreTrainedTokenizerFast(tokenizer_object=backend)


TOKENIZERS = {
    "byte level": byte_level(),
    "byte level, NFC": byte_level(normalizers.NFC()),
    "split": byte_level(
        pre_tokenizer=pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\s+"), "isolated"), BYTES])
    ),
    "byte fallback": with_fallback(models.BPE),
}


@settings(max_examples=150)
@given(st.sampled_from(list(TOKENIZERS)), st.text() | st.lists(st.sampled_from([*TEXTS, " ", "\u0301"])).map("".join))
def test_a_text_never_has_fewer_tokens_than_its_length_over_the_longest(name: str, text: str) -> None:
    tokenizer = TOKENIZERS[name]
    longest = longest_token(tokenizer)
    assert longest is not None
    assert len(tokenizer(text, add_special_tokens=False)["input_ids"]) * longest >= len(text)


def word_piece() -> Tokenizer:
    return Tokenizer(models.WordPiece(vocab={"[UNK]": 0, "a": 1}, unk_token="[UNK]"))


def swallowing() -> PreTrainedTokenizerFast:
    from tokenizers import AddedToken

    tokenizer = byte_level()
    tokenizer.add_tokens([AddedToken("<m>", lstrip=True)])
    return tokenizer


@pytest.mark.parametrize(
    "tokenizer",
    [
        PreTrainedTokenizerFast(tokenizer_object=word_piece()),
        byte_level(normalizers.Strip()),
        byte_level(normalizers.Replace(Regex(r"\s+"), " ")),
        byte_level(normalizers.Replace("ab", "a")),
        byte_level(pre_tokenizer=pre_tokenizers.Sequence([pre_tokenizers.Split(" ", "removed"), BYTES])),
        byte_level(pre_tokenizer=pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), BYTES])),
        swallowing(),
    ],
    ids=["word piece", "strip", "replaced pattern", "replaced text", "split", "white space", "added token"],
)
def test_where_a_token_may_stand_for_any_text_there_is_no_bound(tokenizer: PreTrainedTokenizerFast) -> None:
    assert longest_token(tokenizer) is None


def test_the_longest_token_is_the_vocabulary_s(tmp_path: Any) -> None:
    assert longest_token(save_tokenizer(tmp_path)) == len("<|im_start|>")
