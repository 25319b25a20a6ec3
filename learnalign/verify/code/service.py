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
        return self._done(job, _line(job.message([], alone=False)))

    def check(self, job: Job, assertions: dict[str, Any]) -> Done:
        """Run assertions on the program's functions."""
        return self._done(job, _line(job.message([], alone=False)) + _line(assertions))

    def close(self) -> None:
        """Nothing is kept."""

    def _try(self) -> None:
        job = Job(
            program="print(1)", language="python", prelude="", tests=({"kind": "run", "stdin": ""},), limits=Limits()
        )
        try:
            done = self.run(job)
        except SandboxFailed as error:
            raise InputError(
                f"verifier_sandbox: {self._url} does not run programs ({error}); give the address of SandboxFusion "
                "(http://HOST:8080) or of Piston (http://HOST:2000/api/v2), or local"
            ) from None
        if [reply.get("printed") for reply in done.replies] != ["1\n"]:
            raise InputError(f"verifier_sandbox: {self._url} runs programs, but print(1) gave {done}; try local")

    def _done(self, job: Job, stdin: str) -> Done:
        printed, cut_off = (self._on_piston if self._piston else self._on_sandbox_fusion)(stdin, job.limits)
        messages = []
        for line in printed.splitlines():
            try:
                messages.append(json.loads(line))
            except ValueError:
                break
        if not messages or "failed" in messages[-1]:
            raise SandboxFailed(messages[-1]["failed"] if messages else cut_off or "the service returned no result")
        if "refused" in messages[0]:
            return Done(refused=messages[0]["refused"])
        if "outcomes" in messages[-1]:
            return Done(replies=tuple({"outcome": outcome} for outcome in messages[-1]["outcomes"]))
        return Done(replies=tuple(takewhile(checked, messages[1:])), ended=cut_off)

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
            raise SandboxFailed("Piston cuts the output off; start it with a larger PISTON_OUTPUT_MAX_SIZE")
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
