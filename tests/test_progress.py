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
    bar = Progress(400, "prompts", "rollout", done=200)
    outlooks = {}
    for clock.now, bar.done in [(10, 200.1), (12, 203), (20, 220), (29, 205), (31, 205), (40, 200.9)]:
        outlooks[clock.now] = bar.outlook()
    assert outlooks == {10: "", 12: "", 20: "1 prompts/s, 3 min 0 s left", 29: "", 31: outlooks[31], 40: ""}
    assert outlooks[31].startswith("0.161 prompts/s")


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
