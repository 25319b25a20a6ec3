"""Crowds: two and four commands at random moments on one run directory; each works or is refused, and nothing is lost."""

from __future__ import annotations

import functools
import json
import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.torture.commands import COMMANDS, CONFIG
from tests.torture.contents import broken, differences, leftovers, lost
from tests.torture.places import Place
from tests.torture.processes import Result
from tests.torture.trials import Outcome, Trial

ROUNDS = 4
NAMES = ["compare"]
# A setting that changes no result: config.yaml tells whether a command's settings were taken.
HARMLESS, CHANGING = "eval.num_generations=5", "rollout.temperature=0.7"
EARLY = ("warmup", "rollout", "grad")


@dataclass(frozen=True)
class Crowd:
    """Command lines given at random moments, the commands after one of which they begin, and where the chain then ends;
    they start within `spread` seconds.
    """

    lines: Sequence[str]
    after: Sequence[str | None] = EARLY
    ends: str = "compare"
    spread: float = 6.0


CROWDS = {
    "the same stage": Crowd(["rollout run", "rollout run"]),
    "different stages": Crowd(["rollout run", "grad run"]),
    "four stages": Crowd(["rollout run", "grad run", "signal run length", "select run"]),
    "the whole run twice": Crowd(["run run", "run run"]),
    "--overwrite beside a stage": Crowd(["grad run", "grad run --overwrite"]),
    "--overwrite before its stage": Crowd(["grad run", "rollout run --overwrite"]),
    "two --overwrite": Crowd(["rollout run --overwrite", "rollout run --overwrite"]),
    "a harmless --set": Crowd(["rollout run", f"rollout run --set {HARMLESS}"]),
    "a changing --set": Crowd(["grad run", f"rollout run --set {CHANGING}"]),
    "a changing --set with --overwrite": Crowd(["grad run", f"rollout run --set {CHANGING} --overwrite"]),
    "status in a loop": Crowd(["run run", *["status run"] * 3]),
    "a new directory": Crowd([f"warmup run {CONFIG}", f"warmup run {CONFIG} --set {HARMLESS}"], [None]),
    "two selects": Crowd(["select run", "select run --overwrite"], ["signal"], "select", 1.0),
}


def trials() -> list[Trial]:
    return list(_trials())


def _trials() -> Iterator[Trial]:
    for turn in range(ROUNDS):
        for name in CROWDS:
            yield Trial(f"{name} {turn}", functools.partial(attack, crowd=name))


def attack(place: Place, name: str, crowd: str) -> list[Outcome]:
    """Start the commands, watch the records all the while, and go on alone to the end of the chain."""
    random_, lines, ends = random.Random(name), CROWDS[crowd].lines, CROWDS[crowd].ends
    began = random_.choice(CROWDS[crowd].after)
    place.state(ends)
    place.set_back(began)
    results, problems = _give(place, lines, [random_.uniform(0, CROWDS[crowd].spread) for _ in lines])
    for line, result in zip(lines, results, strict=True):
        problems += [f"{line}: {problem}" for problem in _refusal(result)]
    worked = [line for line, result in zip(lines, results, strict=True) if result.code == 0]
    if began is not None and not any("--overwrite" in line for line in worked):
        problems += lost(place.state_made(began), place.run)
    problems += _settings(place, [line for line in lines if "--set" in line], worked)
    if not any(CHANGING in line for line in worked):
        renewed = "rollout run --overwrite" in worked  # what builds on rollouts is gone
        last = "rollout" if renewed and began == "grad" else began
        problems += broken(place.run, place.state_made(ends)) + _go_on(place, last, ends)
    refused = len(lines) - len(worked)
    return [Outcome(name, problems, f"{refused} of {len(lines)} refused")]


def _give(place: Place, lines: Sequence[str], moments: Sequence[float]) -> tuple[list[Result], list[str]]:
    """The commands' results, each begun at its moment, and what was seen wrong meanwhile."""
    results: list[Result | None] = [None] * len(lines)

    def give(i: int) -> None:
        time.sleep(moments[i])
        results[i] = place.finish(lines[i])
        while lines[i].startswith("status") and results[i].code == 0 and threads[0].is_alive():
            results[i] = place.finish(lines[i])

    threads = [threading.Thread(target=give, args=(i,)) for i in range(len(lines))]
    for thread in threads:
        thread.start()
    problems: set[str] = set()
    while any(thread.is_alive() for thread in threads):
        problems |= set(_unreadable(place.run))
        time.sleep(0.02)
    return [result for result in results if result is not None], sorted(problems)


def _unreadable(run: Path) -> Iterator[str]:
    """Records that are broken at this moment."""
    for name, read in (("run.json", json.loads), ("config.yaml", yaml.safe_load)):
        try:
            if not isinstance(read((run / name).read_text(encoding="utf-8")), dict):
                yield f"{name} was empty meanwhile"
        except FileNotFoundError:
            pass
        except ValueError as error:
            yield f"{name} was broken meanwhile: {error}"


def _refusal(result: Result) -> list[str]:
    """A command works, or says in one message why not: in use, other settings, or a stage that is not done yet."""
    problems = result.problems(0, 1, 2)
    expected = ("in use", "other settings", "not done", "run `", "first", "no ")
    if result.code and not problems and not any(words in result.message() for words in expected):
        problems = [f"refused for another reason: {result.message()[:300]}"]
    return problems


def _settings(place: Place, lines: Sequence[str], worked: Sequence[str]) -> list[str]:
    """config.yaml has the settings of a command that worked, never those of one that was refused."""
    settings = yaml.safe_load((place.run / "config.yaml").read_text(encoding="utf-8"))
    problems = []
    for line in lines:
        key, _, value = line.partition("--set ")[2].split()[0].partition("=")
        section, _, name = key.partition(".")
        if line not in worked and settings[section][name] == float(value):
            problems.append(f"config.yaml has {key}={value} of a refused command")
    return problems


def _go_on(place: Place, began: str | None, ends: str) -> list[str]:
    """The rest of the chain, alone: problems if it is not as if there had been no crowd."""
    rest = [ends]
    while (before := COMMANDS[rest[0]].after) not in (began, None):
        rest.insert(0, before)
    undisturbed = yaml.safe_load((place.state_made(ends) / "config.yaml").read_text(encoding="utf-8"))
    back = f"--set eval.num_generations={undisturbed['eval']['num_generations']}"
    problems = []
    for name in rest:  # a stage that is done stores no settings, the next one does
        result = place.finish(f"{COMMANDS[name].line} {back if name != 'compare' else ''}")
        problems += [f"alone, {name}: {problem}" for problem in result.problems(0)]
    return problems + differences(place.state_made(ends), place.run) + leftovers(place.run) + place.check()
