"""A model's files: every way in which they can be damaged is one line that names the key and the path."""

from __future__ import annotations

import contextlib
import pickle
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learnalign.errors import InputError, LearnAlignError, RunError, one_line
from learnalign.rundir.files import read_json

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

PICKLES = ("pytorch_model*.bin", "adapter_model.bin")


@contextlib.contextmanager
def reading(where: str, kind: str) -> Iterator[None]:
    """Turn whatever goes wrong while `kind` is read from `where` ("model.name PATH") into one line.

    The files are the user's, and the libraries that read them fail with errors of any type.
    """
    try:
        yield
    except (LearnAlignError, KeyboardInterrupt):
        raise
    except MemoryError as error:
        raise _too_large(where) from error
    except pickle.UnpicklingError as error:  # its text advises to run the pickle
        raise InputError(f"{where}: cannot load {kind} from it: {_PICKLE}") from error
    except Exception as error:
        from learnalign.policy.memory import is_out_of_memory

        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise _too_large(where) from error
        reason = one_line(error, 200)
        if isinstance(error, OSError) and where.startswith("model.") and not Path(where.partition(" ")[2]).is_dir():
            raise InputError(
                f"{where}: not a directory, and the hub has no such model or cannot be reached ({reason}); give a Hugging Face "
                "model directory or the model's name on the hub"
            ) from error
        if type(error).__module__ == "builtins" and not isinstance(error, OSError | ValueError | ImportError):
            reason = f"{type(error).__name__}: {reason}"
        raise InputError(f"{where}: cannot load {kind} from it ({reason})") from error


_PICKLE = (
    "its weights are a pickle that is damaged or holds more than tensors, and such a pickle is not opened; convert it to "
    "safetensors, or download the model again"
)


def _too_large(where: str) -> RunError:
    return RunError(
        f"{where}: it does not fit in memory; free some, set model.dtype to bfloat16, or use a smaller model"
    )


def check_directory(path: str, key: str = "model.name") -> None:
    """Raise InputError for a path that is no directory, or a directory without config.json."""
    if Path(path).is_dir() and not (Path(path) / "config.json").is_file():
        raise InputError(f"{key} {path}: no config.json in this directory; give a Hugging Face model directory")
    if path.startswith((".", "/", "~")) and not Path(path).is_dir():
        raise InputError(f"{key} {path}: no such directory")


def read_model(where: str, path: str, **options: Any) -> PreTrainedModel:
    """The causal language model at `path`; raises InputError if its files do not hold exactly its parameters.

    transformers itself fills what is missing with random numbers, and leaves out layers that config.json does not count.
    """
    if Path(path).is_dir() and options["device_map"] != "meta":
        read_model(where, path, **options | {"device_map": "meta"})  # before memory for a wrong config.json is taken
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # it would break up this program's own progress bars
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)  # its report of wrong parameters; ours is one line
    options |= {"output_loading_info": True, "ignore_mismatched_sizes": options["device_map"] == "meta"}
    try:
        with reading(where, f"a causal language model (model.attn: {options['attn_implementation']})"):
            loaded: Any = AutoModelForCausalLM.from_pretrained(path, **options)
    finally:
        logging.set_verbosity(verbosity)
    model, info = loaded
    _check_complete(where, model, info)
    check_finite(where, model)
    return model


def _check_complete(where: str, model: PreTrainedModel, info: dict[str, Any]) -> None:
    mismatched = sorted(tuple(each) for each in info["mismatched_keys"])
    if mismatched:
        name, stored, expected = mismatched[0]
        raise InputError(
            f"{where}: {len(mismatched)} parameters have another shape than its config.json says, such as {name}: stored "
            f"{list(stored)}, expected {list(expected)}; give the config.json that belongs to these weights"
        )
    if info["missing_keys"]:
        raise InputError(
            f"{where}: its files lack {_some(info['missing_keys'])}; copy all files of its weights, and the config.json that "
            "belongs to them"
        )
    from learnalign.policy.parts import blocks_of

    prefix, blocks = blocks_of(model)
    block = re.compile(rf"{re.escape(prefix)}\.(\d+)\.")  # within the model's own blocks, older formats keep buffers
    unexpected = [(name, block.match(name)) for name in info["unexpected_keys"]]
    if more := [name for name, match in unexpected if match and int(match[1]) >= len(blocks)]:
        raise InputError(
            f"{where}: its files hold {_some(more)}, which the model of its config.json does not have; give the config.json that "
            "belongs to these weights"
        )


def _some(names: Iterable[str]) -> str:
    """The first name, and how many more there are."""
    first, *others = sorted(names)
    return f"the parameter {first}" + (f" and {len(others)} more" if others else "")


def check_finite(where: str, model: nn.Module) -> None:
    """Raise InputError naming the first parameter that holds NaN or infinity; parameters on torch's meta device hold nothing."""
    for name, parameter in model.named_parameters():
        if not parameter.is_meta:
            _check_finite(where, name, parameter)


def check_finite_files(where: str, path: str) -> None:
    """`check_finite` of a directory's safetensors, for a program that does not look itself."""
    from safetensors import safe_open

    for file in sorted(Path(path).glob("*.safetensors")):
        with reading(where, file.name), safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118  # not a mapping
                _check_finite(where, name, tensors.get_tensor(name))


def _check_finite(where: str, name: str, tensor: Tensor) -> None:
    if tensor.dtype.itemsize > 1 and not tensor.isfinite().all():  # no operations for float8; integers are finite
        raise InputError(
            f"{where}: its parameter {name} is not finite (NaN or infinite); use another checkpoint (if a training made it: "
            "train again with a lower learning_rate), or set model.dtype to float32 if the numbers are beyond the range of this one"
        )


def is_adapter(path: str | Path) -> bool:
    """Whether `path` holds a PEFT adapter rather than a whole model."""
    return (Path(path) / "adapter_config.json").is_file()


def adapter_base(adapter: Path) -> str:
    """Directory or hub name of the model that an adapter was trained on."""
    with reading(f"adapter {adapter}", "adapter_config.json"):
        return str(read_json(adapter / "adapter_config.json")["base_model_name_or_path"])


def with_adapter(model: PreTrainedModel, adapter: str | Path) -> PreTrainedModel:
    """`model` with the PEFT adapter on it; raises InputError if the adapter's files are damaged or of another model.

    PEFT itself takes what fits and leaves new adapter layers where nothing does.
    """
    from peft import PeftModel, get_peft_model_state_dict
    from peft.utils.save_and_load import load_peft_weights

    where = f"adapter {adapter}"
    if not any((Path(adapter) / name).is_file() for name in ("adapter_model.safetensors", "adapter_model.bin")):
        raise InputError(f"{where}: no adapter_model.safetensors in this directory; copy the adapter's weights into it")
    with reading(where, "a PEFT adapter"), warnings.catch_warnings(action="ignore"):
        adapted = PeftModel.from_pretrained(model, str(adapter), low_cpu_mem_usage=model.device.type == "meta")
        stored, own = load_peft_weights(str(adapter), device="cpu"), get_peft_model_state_dict(adapted)
    if differing := stored.keys() ^ own.keys():
        raise InputError(
            f"{where}: it belongs to another model than {model.config.name_or_path}, or is damaged: {len(differing)} parameters are "
            f"in only one of them, such as {min(differing)}"
        )
    check_finite(where, adapted)
    return adapted.eval()  # type: ignore[return-value]
