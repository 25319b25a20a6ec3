"""Services that run code: what is asked of them, and what their answers and failures mean. They are played by a local server."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from learnalign.errors import InputError
from learnalign.verify import Item, Verdict, open_verifier
from learnalign.verify.code import service

GOLDS = {
    "printed": {"tests": [{"stdin": "1 2\n", "stdout": "3\n"}, {"stdin": "2 2\n", "stdout": "4\n"}]},
    "calls": {"entry_point": "f", "tests": [{"call": [1, 2], "value": 3}, {"call": [2, 2], "value": 4}]},
    "assertions": {"entry_point": "f", "tests": ["assert f(1, 2) == 3", "assert f(2, 2) == 4"]},
}
RIGHT = {
    "printed": "print(sum(map(int, input().split())))",
    "calls": "def f(a, b): return a + b",
    "assertions": "def f(a, b): return a + b",
}
WRONG = {"printed": "print(3)", "calls": "def f(a, b): return 3", "assertions": "def f(a, b): return 3"}

Reply = Callable[["Fake", dict[str, Any]], tuple[int, Any]]


class Fake(ThreadingHTTPServer):
    """A server that answers by `reply`, and remembers what it was asked."""

    daemon_threads = True

    def __init__(self, reply: Reply) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.at_once = self.most_at_once = 0
        self.reply = reply
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Fake

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked.append((self.path, message))
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
        status, answer = self.server.reply(self.server, message)
        with self.server.lock:
            self.server.at_once -= 1
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def served() -> Iterator[Callable[[Reply], Fake]]:
    servers: list[Fake] = []

    def start(reply: Reply) -> Fake:
        server = Fake(reply)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def execute(code: str, stdin: str) -> subprocess.CompletedProcess[str]:
    """What a service does; the programs of these tests are our own."""
    return subprocess.run(
        [sys.executable, "-I", "-c", code], input=stdin, capture_output=True, text=True, timeout=60, check=False
    )


def sandbox_fusion(server: Fake, message: dict[str, Any]) -> tuple[int, Any]:
    done = execute(message["code"], message["stdin"])
    result = {"status": "Finished", "return_code": done.returncode, "stdout": done.stdout, "stderr": done.stderr}
    return 200, {"status": "Success", "message": "", "compile_result": None, "run_result": result}


def piston(server: Fake, message: dict[str, Any]) -> tuple[int, Any]:
    done = execute(message["files"][0]["content"], message["stdin"])
    return 200, {"run": {"stdout": done.stdout, "stderr": done.stderr, "code": done.returncode, "signal": None}}


def score(url: str, *pairs: tuple[str, str]) -> list[Verdict]:
    items = [Item(f"```python\n{program}\n```", json.dumps(GOLDS[kind])) for kind, program in pairs]
    with open_verifier("code", sandbox=url) as verifier:
        return verifier.score(items)


@pytest.mark.parametrize(("reply", "path"), [(sandbox_fusion, ""), (piston, "/api/v2")])
def test_programs_are_judged_as_here(reply: Reply, path: str, served: Callable[[Reply], Fake]) -> None:
    server = served(reply)
    pairs = [(kind, programs[kind]) for kind in GOLDS for programs in (RIGHT, WRONG)]
    verdicts = score(server.url + path, *pairs, ("calls", "def f(a, b): import os; os._exit(0)"), ("printed", "x ="))
    assert [verdict.reward for verdict in verdicts] == [1.0, 0.0] * 3 + [0.0, 0.0]
    assert [verdict.share_passed for verdict in verdicts] == [1.0, 0.5] * 3 + [0.0, 0.0]
    assert {asked for asked, _ in server.asked} == {"/api/v2/execute" if path else "/run_code"}


def test_the_tests_are_not_in_the_memory_of_the_programs_process(served: Callable[[Reply], Fake]) -> None:
    program = (
        "import gc\n"
        "def f(a, b):\n"
        "    texts = [each for each in gc.get_objects() if isinstance(each, (list, tuple, dict))]\n"
        "    return 1 / (chr(97) + 'ssert f(1, 2)' in repr(texts))\n"
    )
    assert [v.reason for v in score(served(sandbox_fusion).url, ("assertions", program))] == [
        "test 1 of 2: error: ZeroDivisionError: division by zero"
    ]


def failing(status: int, body: Any, times: int = 1000) -> Reply:
    """Answers the first request, then fails `times` times, then works."""
    left = [times]

    def reply(server: Fake, message: dict[str, Any]) -> tuple[int, Any]:
        if len(server.asked) == 1 or not left[0]:
            return sandbox_fusion(server, message)
        left[0] -= 1
        return status, body

    return reply


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_FIRST_PAUSE", 0.0)


@pytest.mark.parametrize(
    ("status", "body", "tries", "reason"),
    [
        (500, b"overloaded", 4, "HTTP 500: overloaded"),
        (429, b"slow down", 4, "HTTP 429: slow down"),
        (400, {"message": "run_timeout cannot exceed the configured limit"}, 1, "run_timeout cannot exceed"),
        (200, b"<html>", 4, "Expecting value"),
        (200, [1], 4, "its answer is no JSON object"),
        (200, {"status": "SandboxError", "message": "no space"}, 1, "the service says: no space"),
        (200, {"status": "Success", "run_result": {"status": "Finished", "stdout": ""}}, 1, "no result"),
        (
            200,
            {"status": "Failed", "run_result": {"status": "Error", "stdout": "", "stderr": "x\nKilled"}},
            1,
            "Killed",
        ),
    ],
)
def test_a_failing_service_leaves_the_completion_unscored(
    status: int, body: Any, tries: int, reason: str, served: Callable[[Reply], Fake]
) -> None:
    server = served(failing(status, body))
    (verdict,) = score(server.url, ("printed", RIGHT["printed"]))
    assert verdict.reward is None
    assert verdict.reason.startswith("sandbox failed: ")
    assert reason in verdict.reason
    assert len(server.asked) == 1 + tries


def test_a_service_that_fails_now_and_then_is_asked_again(served: Callable[[Reply], Fake]) -> None:
    (verdict,) = score(served(failing(503, b"", times=3)).url, ("printed", RIGHT["printed"]))
    assert verdict.reward == 1.0


def test_a_program_out_of_time_is_wrong(served: Callable[[Reply], Fake]) -> None:
    body = {"status": "Failed", "run_result": {"status": "TimeLimitExceeded", "stdout": '{"loaded": true}\n'}}
    (verdict,) = score(served(failing(200, body)).url, ("printed", RIGHT["printed"]))
    assert (verdict.reward, verdict.reason) == (0.0, "test 1 of 2: out of time")


@pytest.mark.parametrize("kind", GOLDS)
@pytest.mark.parametrize(
    "line", ["[" * 100_000, "5", '"failed"', '{"outcomes": [[]]}', '{"outcomes": 1}', '{"status": "ok", "printed": ""}']
)
def test_lines_that_a_program_forges_are_no_verdict(kind: str, line: str, served: Callable[[Reply], Fake]) -> None:
    body = {"status": "Success", "run_result": {"status": "Finished", "stdout": f'{{"loaded": true}}\n{line}\n'}}
    assert [verdict.reward for verdict in score(served(failing(200, body)).url, (kind, RIGHT[kind]))] == [0.0]


def cut_off_after(size: int) -> Reply:
    """Piston with a limit of output."""

    def reply(server: Fake, message: dict[str, Any]) -> tuple[int, Any]:
        status, answer = piston(server, message)
        if len(answer["run"]["stdout"]) > size:
            answer["run"] = {"stdout": answer["run"]["stdout"][:size], "stderr": "", "status": "OL"}
        return status, answer

    return reply


def test_a_piston_that_takes_little_output_is_refused(served: Callable[[Reply], Fake]) -> None:
    with pytest.raises(InputError, match="PISTON_OUTPUT_MAX_SIZE"):
        score(served(cut_off_after(1_024)).url + "/api/v2", ("printed", RIGHT["printed"]))


def test_a_program_that_prints_more_than_piston_takes_is_wrong(served: Callable[[Reply], Fake]) -> None:
    (verdict,) = score(served(cut_off_after(2**21)).url + "/api/v2", ("printed", "print('x' * 3_000_000)"))
    assert (verdict.reward, verdict.reason) == (0.0, "test 1 of 2: too much output")


def test_requests_at_once_are_limited(served: Callable[[Reply], Fake]) -> None:
    server = served(sandbox_fusion)
    items = [Item(f"```python\nprint({n})\n```", json.dumps(GOLDS["printed"])) for n in range(12)]
    with open_verifier("code", workers=3, sandbox=server.url) as verifier:
        assert [verdict.reward for verdict in verifier.score(items)] == [0.0] * 12
    assert 1 < server.most_at_once <= 3


def test_an_address_without_a_service_is_refused(served: Callable[[Reply], Fake]) -> None:
    server = served(lambda *_: (404, {"detail": "Not Found"}))
    with pytest.raises(InputError, match=r"does not run programs.*HTTP 404.*SandboxFusion"):
        open_verifier("code", sandbox=server.url)
    server.shutdown()
    server.server_close()
    with pytest.raises(InputError, match="does not run programs"):
        open_verifier("code", sandbox=server.url)
