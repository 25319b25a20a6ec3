"""The process that vLLM runs in: `python -m learnalign.rollouts.engines.vllm_child FD`, started by `vllm.py`.

Messages are JSON over the socket FD. In: first the engine's arguments, then jobs, also while others are worked on. Out: `ready`, then
for every job its completions as they end, a sign of life every few seconds, and `done`. It ends on an empty message or with the parent.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

ALIVE_EVERY = 10.0  # seconds between signs of life
GRACE = 3.0  # seconds that vLLM has to end its processes after the parent has died


def main() -> None:
    """Serve the parent at the other end of the socket."""
    connection = Connection(int(sys.argv[1]))
    send = _sender(connection)
    inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, inbox), daemon=True).start()
    llm = None
    try:
        options = inbox.get()
        llm = _start(options["arguments"])
        rows = llm.llm_engine.vllm_config.scheduler_config.max_num_seqs
        send({"ready": [llm.model_config.max_model_len, rows]})
        lora = _lora(options["adapter"])
        left: dict[int, int] = {}  # completions that are still to come, by job
        while True:
            while not left or not inbox.empty():
                if not (job := inbox.get()):
                    return
                left[job["job"]] = sum(len(seeds) for _, _, seeds in job["requests"])
                _submit(llm, job, lora, options["stop"], options["per_sample"])
            _step(llm, send, left)
    except KeyboardInterrupt:
        pass  # the parent has died
    finally:
        if llm is not None:
            llm.llm_engine.engine_core.shutdown()


def _sender(connection: Connection) -> Callable[[dict[str, Any]], None]:
    def send(message: dict[str, Any]) -> None:
        connection.send_bytes(json.dumps(message).encode())

    return send


def _listen(connection: Connection, inbox: queue.SimpleQueue[dict[str, Any]]) -> None:
    """Queue the parent's messages; an empty one means the end. If the parent dies, end this process group."""
    try:
        while True:
            inbox.put(json.loads(connection.recv_bytes()))
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGINT)  # the main thread ends vLLM's own processes
        time.sleep(GRACE)
        os.killpg(0, signal.SIGKILL)


def _start(arguments: dict[str, Any]) -> Any:
    from vllm import LLM

    return LLM(**arguments)


def _lora(adapter: str | None) -> Any:
    if adapter is None:
        return None
    from vllm.lora.request import LoRARequest

    return LoRARequest("policy", 1, adapter)


def _submit(llm: Any, job: dict[str, Any], lora: Any, stop: list[int], per_sample: bool) -> None:
    """Submit a job of requests [id, prompt_ids, seeds], each as one request of vLLM, or `per_sample` with its own seed as several.

    A request is named by its job, its place in it and its first sample. vLLM draws the tokens of requests with seeds one by one.
    """
    from vllm import SamplingParams
    from vllm.inputs import TokensPrompt
    from vllm.sampling_params import RequestOutputKind

    engine, limit, sampling = llm.llm_engine, llm.model_config.max_model_len, job["sampling"]
    for request, (_, prompt_ids, seeds) in enumerate(job["requests"]):
        for sample, seed in enumerate(seeds) if per_sample else [(0, None)]:
            parameters = SamplingParams(
                n=1 if per_sample else len(seeds),
                seed=seed,
                temperature=sampling["temperature"],
                top_p=sampling["top_p"],
                max_tokens=min(sampling["max_completion_length"], limit - len(prompt_ids)),
                stop_token_ids=stop,
                detokenize=False,
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
            prompt = TokensPrompt(prompt_token_ids=prompt_ids)
            engine.add_request(f"{job['job']}/{request}/{sample}", prompt, parameters, lora_request=lora)


def _step(llm: Any, send: Callable[[dict[str, Any]], None], left: dict[int, int]) -> None:
    """Have the engine work until some completions end, or a sign of life is due; send them, and which jobs are done."""
    engine, started = llm.llm_engine, time.monotonic()
    ended: list[list[Any]] = []
    while engine.has_unfinished_requests() and not ended and time.monotonic() - started < ALIVE_EVERY:
        outputs = [(output.request_id, one) for output in engine.step() if output.finished for one in output.outputs]
        ended = [[*_place(name, one), list(one.token_ids), one.finish_reason] for name, one in outputs]
    for job, *_ in ended:
        left[job] -= 1
    done = [job for job, count in left.items() if not count or not engine.has_unfinished_requests()]
    for job in done:
        del left[job]
    send({"ended": ended, "done": done})


def _place(name: str, output: Any) -> tuple[int, int, int]:
    """The job, the request and the sample of an output."""
    job, request, first = map(int, name.split("/"))
    return job, request, first + output.index


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # skips the interpreter's clean-up, which takes seconds
