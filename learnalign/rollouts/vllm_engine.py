"""The `vllm` engine: vLLM's offline engine in processes of its own, one for each data-parallel replica.

They are ended with the block (and by themselves where this process dies), so that a GPU's memory is given back; what
they print goes to a file that is shown only where one fails.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from learnalign.config import Config
from learnalign.errors import InputError, RunError
from learnalign.policy import is_adapter, model_path
from learnalign.rollouts.engine import Completion, Request, check_lengths, stop_ids

if TYPE_CHECKING:
    from transformers import PretrainedConfig

START_LIMIT = 3600.0  # seconds to load, and on a GPU to compile, a model
SILENCE_LIMIT = 600.0  # seconds without a sign of life after which a replica has stalled
END_LIMIT = 30.0  # seconds to end by itself
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # vLLM's choices of max_lora_rank
_GIB = 2**30
_CPU_ROWS = 256  # samples that run together on a CPU: vLLM's own default there


class VllmEngine:
    """Samples from the model or adapter at `path`; a context manager that starts and ends vLLM's processes."""

    name = "vllm"

    def __init__(self, config: Config, path: str, max_length: int | None = None) -> None:
        self._config, self._path, self._max_length = config, path, max_length

    def __enter__(self) -> Self:
        arguments = engine_arguments(self._config, self._path, self._max_length)
        replicas = int(arguments.pop("data_parallel_size", 1))
        options = {
            "arguments": arguments,
            "adapter": self._path if is_adapter(self._path) else None,
            "stop": sorted(stop_ids(self._config, self._path)),
        }
        with ExitStack() as stack:
            self._replicas = [
                stack.enter_context(Replica(options, environment(arguments, i, replicas))) for i in range(replicas)
            ]
            self.context_length: int = min(replica.wait_until_ready() for replica in self._replicas)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def generate(
        self, requests: Sequence[Request], *, max_completion_length: int, temperature: float = 1.0, top_p: float = 1.0
    ) -> dict[str, list[Completion]]:
        """See `Engine.generate`. Raises RunError where vLLM fails, with what it said."""
        check_lengths(requests, self.context_length)
        sampling = {"max_completion_length": max_completion_length, "temperature": temperature, "top_p": top_p}
        count = len(self._replicas)
        by_length = sorted(requests, key=lambda request: -len(request.prompt_ids))
        shares = [(replica, by_length[i::count]) for i, replica in enumerate(self._replicas)]
        with ThreadPoolExecutor(count) as threads:
            answers = list(threads.map(lambda share: share[0].generate(share[1], sampling), shares))
        merged = {id: completions for answer in answers for id, completions in answer.items()}
        return {request.id: merged[request.id] for request in requests}


class Replica:
    """One vLLM process and the socket to it."""

    def __init__(self, options: dict[str, Any], environment: dict[str, str]) -> None:
        self._options, self._environment = options, environment
        self._ready = False

    def __enter__(self) -> Self:
        self._log: IO[bytes] = tempfile.TemporaryFile(prefix="learnalign-vllm-")
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "learnalign.rollouts.vllm_child", str(theirs.fileno())]
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env=self._environment,
                start_new_session=True,
            )
        self._connection = Connection(ours.detach())
        self._send(self._options)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ask the process to end and wait; kill it and its children where it does not, or after an error."""
        if self._ready and error is None and self._process.poll() is None:
            with suppress(OSError, subprocess.TimeoutExpired):
                self._connection.send_bytes(b"{}")
                self._process.wait(END_LIMIT)
        self._kill()
        self._connection.close()
        self._log.close()

    def _kill(self) -> None:
        """Kill the whole process group: a tensor-parallel engine has processes of its own."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def wait_until_ready(self) -> int:
        """The engine's context length; raises RunError with what vLLM said and what to change where it cannot start."""
        context_length = int(self._receive(START_LIMIT)["ready"])
        self._ready = True
        return context_length

    def generate(self, requests: Sequence[Request], sampling: dict[str, Any]) -> dict[str, list[Completion]]:
        """Completions by request id, in the order of the seeds."""
        job = [[request.id, list(request.prompt_ids), list(request.seeds)] for request in requests]
        self._send({**sampling, "requests": job})
        groups: dict[str, dict[int, Completion]] = {request.id: {} for request in requests}
        while "done" not in (message := self._receive(SILENCE_LIMIT)):
            for name, completion_ids, reason in message.get("ended", []):
                request, sample = map(int, name.split("/"))
                groups[requests[request].id][sample] = Completion(completion_ids, reason)
        return {request.id: self._in_order(request, groups[request.id]) for request in requests}

    def _in_order(self, request: Request, group: dict[int, Completion]) -> list[Completion]:
        for sample in range(len(request.seeds)):
            if sample not in group or group[sample].finish_reason not in ("stop", "length"):
                raise self._failure(f"it gave no completion for sample {sample} of prompt {request.id}")
        return [group[sample] for sample in range(len(request.seeds))]

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._connection.send_bytes(json.dumps(message).encode())
        except OSError:
            raise self._failure("its process ended") from None

    def _receive(self, limit: float) -> dict[str, Any]:
        try:
            if not self._connection.poll(limit):
                raise self._failure(f"it said nothing for {limit:.0f} s")
            return json.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            raise self._failure("its process ended") from None

    def _failure(self, what: str) -> RunError:
        self._log.seek(0)
        text = self._log.read().decode(errors="replace")
        return RunError(f"vLLM failed ({what}). {explain(text)}")


def engine_arguments(config: Config, path: str, max_length: int | None) -> dict[str, Any]:
    """Arguments of vLLM's LLM: ours, then `rollout.vllm` over them. Raises InputError for an adapter it cannot take."""
    import torch
    from transformers import AutoConfig

    base = model_path(config) if is_adapter(path) else path
    options = {"revision": config.model.revision, "trust_remote_code": config.model.trust_remote_code}
    text = AutoConfig.from_pretrained(base, **options).get_text_config()
    own = str(text.dtype or torch.float32).removeprefix("torch.")
    limits = [limit for limit in (getattr(text, "max_position_embeddings", None), max_length) if limit is not None]
    arguments: dict[str, Any] = {
        "model": base,
        **options,
        "dtype": own if config.model.dtype == "auto" else config.model.dtype,  # vLLM's auto would halve float32
        "max_model_len": min(limits) if limits else None,
        "seed": config.seed,
        "skip_tokenizer_init": True,
        "generation_config": "vllm",  # not the model's own sampling settings
        "enable_prefix_caching": True,
    }
    if is_adapter(path):
        arguments |= {"enable_lora": True, "max_lora_rank": _lora_rank(path)}
    if not torch.cuda.is_available():
        arguments |= {"enforce_eager": True, "gpu_memory_utilization": 0.2, "max_num_seqs": _CPU_ROWS}
        arguments["kv_cache_memory_bytes"] = _cpu_cache_bytes(text, min(limits, default=4096))
        # A prompt cut in two makes vLLM step a seeded generator back, which a CPU's cannot ("does not use offset").
        arguments["enable_chunked_prefill"] = False
    return arguments | config.rollout.vllm


def _lora_rank(path: str) -> int:
    rank = json.loads((Path(path) / "adapter_config.json").read_text(encoding="utf-8"))["r"]
    if rank > _RANKS[-1]:
        raise InputError(
            f"{path}: vLLM takes LoRA ranks up to {_RANKS[-1]}, this adapter has {rank}; take "
            "--set rollout.engine=transformers"
        )
    return next(choice for choice in _RANKS if choice >= rank)


def _cpu_cache_bytes(text: PretrainedConfig, longest: int) -> int:
    """Memory for the keys and values of all samples that run together; at most a quarter of what is free."""
    import psutil

    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    wanted = 4 * 2 * _CPU_ROWS * (longest + 128) * text.num_hidden_layers * heads * width
    return max(_GIB // 4, min(wanted, psutil.virtual_memory().available // 4))


def environment(arguments: dict[str, Any], replica: int, replicas: int) -> dict[str, str]:
    """The environment of one replica: its GPUs, or what vLLM needs on a CPU. What the user has set stays."""
    import torch

    ours = {"VLLM_LOGGING_LEVEL": "WARNING"}
    if Path(arguments["model"]).is_dir():
        ours["HF_HUB_OFFLINE"] = "1"
    if not torch.cuda.is_available():
        ours |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    merged = {**ours, **os.environ}
    if replicas > 1 and torch.cuda.is_available():
        each = int(arguments.get("tensor_parallel_size", 1)) * int(arguments.get("pipeline_parallel_size", 1))
        every = ",".join(str(gpu) for gpu in range(torch.cuda.device_count()))
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", every).split(",")
        mine = visible[replica * each : (replica + 1) * each]
        if len(mine) < each:
            raise InputError(
                f"rollout.vllm: {replicas} replicas of {each} GPUs each need {replicas * each}, {len(visible)} are "
                "there; lower data_parallel_size or tensor_parallel_size"
            )
        merged["CUDA_VISIBLE_DEVICES"] = ",".join(mine)
    return merged


_HINTS = {
    "head size": "vLLM has no attention for this model's head size here; take --set rollout.engine=transformers",
    "out of memory": "lower --set rollout.vllm.gpu_memory_utilization=0.8, free the GPU, or take a smaller model",
    "less than desired GPU memory": "free the GPU, or lower --set rollout.vllm.gpu_memory_utilization=0.8",
    "on kv cache": "free memory, or lower --set rollout.vllm.kv_cache_memory_bytes=1073741824",
    "max_model_len": "set a shorter --set rollout.vllm.max_model_len=TOKENS, or lower rollout.max_completion_length",
    "unexpected keyword argument": "rollout.vllm takes the arguments of vLLM's engine; take the wrong one out",
    "architectures": "this vLLM does not know the model; take --set rollout.engine=transformers",
}


def explain(log: str) -> str:
    """The last error in what vLLM printed, and what to change."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [i for i, line in enumerate(lines) if line.split(":")[0].split(".")[-1].endswith(("Error", "Exception"))]
    last = " ".join(lines[errors[-1] : errors[-1] + 4] if errors else lines[-1:])[:500] or "none"
    hints = [hint for mark, hint in _HINTS.items() if mark.lower() in last.lower()]
    ways = hints[0] if hints else "change rollout.vllm (any engine argument), or take --set rollout.engine=transformers"
    return f"Its last words: {last}\nWays out: {ways}"
