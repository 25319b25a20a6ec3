"""Progress says how far, how fast and how long still, on stderr only."""

import pytest

from learnalign import progress
from learnalign.progress import Progress, duration


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_without_a_terminal_plain_lines_come_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    with Progress(100, "prompts", "rollout", done=20) as bar:
        for _ in range(80):
            clock.now += 0.5
            bar.advance()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "rollout: 100 prompts, 20 done before",
        "rollout: 40/100 prompts, 2 prompts/s, 30 s left",
        "rollout: 60/100 prompts, 2 prompts/s, 20 s left",
        "rollout: 80/100 prompts, 2 prompts/s, 10 s left",
        "rollout: 100/100 prompts in 40 s, 2 prompts/s",
    ]


def test_a_rate_and_the_time_left_wait_until_they_mean_something(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    outlooks = {}
    for now, count in [(2, 3.0), (10, 20.0), (29, 5.0), (31, 5.0), (40, 0.8)]:
        clock.now = 0
        bar = Progress(400, "prompts", "rollout", done=200)
        assert bar.outlook() == ""
        clock.now = 100  # the engine has started
        bar.advance(0.1)
        assert bar.outlook() == ""
        clock.now += now
        bar.advance(count)
        outlooks[now] = bar.outlook()
    assert outlooks == {2: "", 10: "2 prompts/s, 1 min 30 s left", 29: "", 31: outlooks[31], 40: ""}
    assert outlooks[31].startswith("0.161 prompts/s")


def test_a_fast_rate_is_a_number_with_thousands(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    with Progress(20600, "rows", "verify") as bar:
        clock.now = 2
        bar.advance(20600)
    assert capsys.readouterr().err.endswith("20600/20600 rows in 2.0 s, 10,300 rows/s\n")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (9.96, "10.0 s"), (59, "59 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations_read_as_a_person_says_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_part_counts_whole_however_much_of_it_was_reported() -> None:
    with Progress(30, "prompts", "rollout") as bar:
        for reported in ([0.25] * 8, [], [4, 8]):
            with bar.part(10) as advance:
                for count in reported:
                    advance(count)
        assert bar.done == pytest.approx(30)
