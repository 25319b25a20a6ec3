"""A code-running service over HTTP: SandboxFusion's `/run_code`, or Piston's `/api/v2/execute`; one request per completion.

The request's program is `inside.remote`, which runs the completion's program in processes of their own beside the tests.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from itertools import takewhile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from learnalign.errors import InputError, one_line
from learnalign.verify.code.sandbox import Done, Job, Limits, SandboxFailed, checked

_INSIDE = ("wire", "child", "program", "session", "runner", "checker", "remote")  # in the order of their imports
_TRIES = 4
_FIRST_PAUSE = 0.5  # seconds before the second try, doubled each time
_SLACK = 20.0  # seconds that a request may take beyond its limits
_COMPILE_SECONDS = 30.0
_PISTON = "/api/v2"
_LONGEST_REPLY = 256 * 2**20  # bytes
_TRIED_OUTPUT = 2**20  # bytes that a service must take; a program that prints more than it takes is wrong


class Service:
    """Runs programs on a service; raises InputError if the URL does not answer as one."""

    def __init__(self, url: str) -> None:
        path = urlsplit(url).path.rstrip("/")
        self._piston = path.endswith((_PISTON, f"{_PISTON}/execute", "/piston", "/piston/execute"))
        end = "/execute" if self._piston else "/run_code"
        self._url = url.rstrip("/") if path.endswith(end) else url.rstrip("/") + end
        self._try()

    def run(self, job: Job) -> Done:
        """Run the program on the inputs of its tests."""
        messages, ended = self._messages(job, _line(job.message([], alone=False)))
        refused = _refused(messages)
        return Done(refused=refused) if refused else Done(replies=tuple(takewhile(checked, messages[1:])), ended=ended)

    def check(self, job: Job, assertions: dict[str, Any]) -> Done:
        """Run assertions on the program's functions."""
        messages, ended = self._messages(job, _line(job.message([], alone=False)) + _line(assertions))
        if refused := _refused(messages):
            return Done(refused=refused)
        outcomes = messages[-1].get("outcomes")
        if isinstance(outcomes, list) and all(isinstance(outcome, str | None) for outcome in outcomes):
            return Done(replies=tuple({"outcome": outcome} for outcome in outcomes))
        return Done(ended=ended)

    def close(self) -> None:
        """Nothing is kept."""

    def _try(self) -> None:
        program, test = f"print('x' * {_TRIED_OUTPUT})", {"kind": "run", "stdin": ""}
        job = Job(program=program, language="python", prelude="", tests=(test,), limits=Limits())
        try:
            done = self.run(job)
        except SandboxFailed as error:
            raise InputError(
                f"verifier_sandbox: {self._url} does not run programs ({error}); give the address of SandboxFusion "
                "(http://HOST:8080) or of Piston (http://HOST:2000/api/v2), or local"
            ) from None
        if [reply.get("printed") for reply in done.replies] == ["x" * _TRIED_OUTPUT + "\n"]:
            return
        if done.ended == "output":
            raise InputError(
                f"verifier_sandbox: {self._url} cuts output off before {_TRIED_OUTPUT} bytes; start Piston with a larger "
                "PISTON_OUTPUT_MAX_SIZE, or set it to local"
            )
        why = done.refused or done.ended or "it printed something else"
        raise InputError(f"verifier_sandbox: {self._url} does not run a small program ({why}); set it to local")

    def _messages(self, job: Job, stdin: str) -> tuple[list[dict[str, Any]], str]:
        """The lines that `inside.remote` wrote, and why there are no more if something ended it."""
        printed, ended = (self._on_piston if self._piston else self._on_sandbox_fusion)(stdin, job.limits)
        messages: list[dict[str, Any]] = []
        for line in printed.splitlines():
            try:
                message = json.loads(line)
            except (ValueError, RecursionError):
                break
            if not isinstance(message, dict):
                break
            messages.append(message)
        if not messages:
            raise SandboxFailed(ended or "the service returned no result")
        if "failed" in messages[-1]:
            raise SandboxFailed(str(messages[-1]["failed"]))
        return messages, ended

    def _on_sandbox_fusion(self, stdin: str, limits: Limits) -> tuple[str, str]:
        seconds = limits.total_seconds + _COMPILE_SECONDS
        reply = self._post({"code": _program(), "language": "python", "stdin": stdin, "run_timeout": seconds}, seconds)
        result = reply.get("run_result") or {}
        if reply.get("status") == "SandboxError" or not result:
            raise SandboxFailed(f"the service says: {one_line(reply.get('message') or reply, 200)}")
        why = "time" if result.get("status") == "TimeLimitExceeded" else ""
        return result.get("stdout") or "", why or _last_line(result.get("stderr"))

    def _on_piston(self, stdin: str, limits: Limits) -> tuple[str, str]:
        seconds = limits.total_seconds + _COMPILE_SECONDS
        message = {
            "language": "python",
            "version": "3.x",
            "stdin": stdin,
            "run_timeout": int(1000 * seconds),
            "files": [{"name": "job.py", "content": _program()}],
        }
        result = self._post(message, seconds).get("run") or {}
        if result.get("status") in ("OL", "EL"):
            return result.get("stdout") or "", "output"
        why = "time" if result.get("status") == "TO" or result.get("signal") == "SIGKILL" else ""
        return result.get("stdout") or "", why or _last_line(result.get("stderr"))

    def _post(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        body = json.dumps(message).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
        for attempt in range(_TRIES):
            try:
                with urllib.request.urlopen(request, timeout=seconds + _SLACK) as reply:
                    answer = json.loads(reply.read(_LONGEST_REPLY))
                if isinstance(answer, dict):
                    return answer
                error = "its answer is no JSON object"
            except urllib.error.HTTPError as failure:
                error = f"HTTP {failure.code}: {one_line(failure.read(500).decode('utf-8', 'replace'), 200)}"
                if failure.code < 500 and failure.code != http.client.TOO_MANY_REQUESTS:
                    break
            except (OSError, http.client.HTTPException, ValueError) as failure:
                error = one_line(failure, 200)
            if attempt + 1 < _TRIES:
                time.sleep(_FIRST_PAUSE * 2**attempt)
        raise SandboxFailed(f"the sandbox service at {self._url} failed: {error}")


def _refused(messages: list[dict[str, Any]]) -> str | None:
    """Why the program cannot be run, if the first line says so."""
    return str(messages[0]["refused"]) if "refused" in messages[0] else None


def _line(message: dict[str, Any]) -> str:
    return json.dumps(message) + "\n"


def _last_line(text: str | None) -> str:
    return one_line((text or "").strip().rpartition("\n")[2], 200)


def _program() -> str:
    """A program of one file that makes the modules of `inside` and calls the last."""
    sources = {name: (Path(__file__).parent / "inside" / f"{name}.py").read_text("utf-8") for name in _INSIDE}
    return f"""
import sys, types
package = types.ModuleType("inside")
package.__path__ = []
sys.modules["inside"] = package
for name, source in {sources!r}.items():
    module = types.ModuleType("inside." + name)
    module.__package__ = "inside"
    sys.modules["inside." + name] = module
    setattr(package, name, module)
    exec(compile(source, name + ".py", "exec"), vars(module))
module.main()
"""
