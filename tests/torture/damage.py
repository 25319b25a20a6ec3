"""Damage: files of a run are flipped, cut, emptied, deleted, swapped and replaced; it is named, healed or harmless.

`status --check` must name every damaged file and no other; a command that reads a damaged file must name it, make it again, or
end with the same bytes as without the damage.
"""

from __future__ import annotations

import functools
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from tests.torture.commands import COMMANDS
from tests.torture.contents import broken, differences, files
from tests.torture.places import Place
from tests.torture.processes import Process, Result
from tests.torture.trials import Outcome, Skipped, Trial
from tests.torture.wounds import DAMAGES, REPLACED, changed, changed_work, damage_file

NAMES = [name for name in COMMANDS if not name.startswith(("pool", "run"))]
RECORDS = ("config.yaml", "run.json", "manifest.jsonl", "quarantine.jsonl", ".run.json")
FLIPS, RECORD_FLIPS, BATCH = 500, 12, 25
REPAIRS, COMMAND_ROUNDS = 15, 4
PAGES = ("report.html",)  # say what they lack: neither the old page nor that of a whole run


def trials() -> list[Trial]:
    return [*_checks(), *_commands(), *_repairs()]


def _checks() -> Iterator[Trial]:
    for batch in range(-(-FLIPS // BATCH)):
        yield Trial(f"check: flips {batch}", functools.partial(attack_check, damage="one bit flipped"))
    for damage in [*DAMAGES, *REPLACED]:
        for batch in range(2):
            yield Trial(f"check: {damage} {batch}", functools.partial(attack_check, damage=damage))
    for record in RECORDS[:3]:
        for number in range(RECORD_FLIPS):
            damage = list(DAMAGES)[max(0, number - 7)]  # flips, then the others once
            yield Trial(
                f"check: {record} {damage} {number}", functools.partial(attack_record, record=record, damage=damage)
            )


def _commands() -> Iterator[Trial]:
    """Every command with every kind of file that it reads or has made, damaged in several ways."""
    ways = [*DAMAGES, "one bit flipped", *REPLACED]
    for turn in range(COMMAND_ROUNDS):
        for name, command in COMMANDS.items():
            inputs = [*command.reads, RECORDS[turn % len(RECORDS)], "own"] if command.reads else []
            for number, pattern in enumerate(inputs):
                way = ways[(turn * 3 + number) % len(ways)]
                attack = functools.partial(attack_command, command=name, pattern=pattern, damage=way)
                yield Trial(f"{name}: {pattern} {way} {turn}", attack)
        for way in DAMAGES:
            yield Trial(f"train: checkpoint {way} {turn}", functools.partial(attack_checkpoint, damage=way))


def _repairs() -> Iterator[Trial]:
    for number in range(REPAIRS):
        damage = list(DAMAGES)[number % len(DAMAGES)]
        yield Trial(f"repair: {damage} {number}", functools.partial(attack_repair, damage=damage))


def attack_check(place: Place, name: str, damage: str) -> list[Outcome]:
    """Damage many files at once and ask `status --check`; every one is an outcome, and so are the files left alone."""
    original, random_ = place.state(place.last), random.Random(name)
    place.set_back(place.last)
    names = sorted(name for name in files(place.run) if Path(name).name not in RECORDS)
    for each in random_.sample(names, min(BATCH, len(names))):
        damage_file(place, place.run / each, damage, random_)
    damaged = changed(original, place.run)
    result = place.finish("status run --check")
    outcomes = [Outcome(f"{name}: {each}", [] if names_file(result, each) else ["not named"]) for each in damaged]
    alarms = [f"{each} is named, but whole" for each in names if each not in damaged and names_file(result, each)]
    return [*outcomes, Outcome(name, result.problems(1 if damaged else 0) + alarms[:3])]


def attack_record(place: Place, name: str, record: str, damage: str) -> list[Outcome]:
    """Damage one of the files that the check itself reads: it must not pass."""
    place.state(place.last)
    place.set_back(place.last)
    if not (place.run / record).is_file():
        return [Outcome(name, [f"there is no {record}"])]
    DAMAGES[damage](place.run / record, random.Random(name))
    result = place.finish("status run --check")
    problems = result.problems(1, 2)
    if not problems and record != "manifest.jsonl" and not names_file(result, record):
        problems = ["not named"]
    return [Outcome(name, problems)]


def attack_command(place: Place, name: str, command: str, pattern: str, damage: str) -> list[Outcome]:
    """Damage a file that the command reads, or (`own`) one that it has made, and give the command."""
    after, before, random_ = place.state(command), COMMANDS[command].after, random.Random(name)
    assert before is not None
    began = after if pattern == "own" else place.state(before)
    place.set_back(command if pattern == "own" else before)
    if pattern == "own":
        old = files(place.state(before))
        matching = [path for each, path in files(place.run).items() if each not in old]
    else:
        matching = [path for path in place.run.glob(pattern) if path.is_file() and path.name != ".lock"]
    if not matching:
        raise Skipped(f"no {pattern}")
    damage_file(place, random_.choice(sorted(matching)), damage, random_)
    return _judge(place, name, command, began)


def attack_checkpoint(place: Place, name: str, damage: str) -> list[Outcome]:
    """Damage a checkpoint of a training that was killed; the training goes on."""
    original, random_ = _half_trained(place), random.Random(name)
    shutil.rmtree(place.run)
    shutil.copytree(original, place.run, copy_function=shutil.copy2)
    checkpoints = [path for path in place.run.rglob("checkpoint-*/*") if path.is_file()]
    DAMAGES[damage](random_.choice(sorted(checkpoints)), random_)
    return _judge(place, name, "train", original)


def attack_repair(place: Place, name: str, damage: str) -> list[Outcome]:
    """Damage one file; `status --repair` makes it again, the same bytes."""
    original, random_ = place.state(place.last), random.Random(name)
    place.set_back(place.last)
    path = random_.choice([path for each, path in files(place.run).items() if Path(each).name not in RECORDS])
    DAMAGES[damage](path, random_)
    problems = place.finish("status run --repair").problems(0) + differences(original, place.run)
    each = str(path.relative_to(place.run))
    return [Outcome(name, [f"{each}: {problem}" for problem in problems + place.check()])]


def _judge(place: Place, name: str, command: str, began: Path) -> list[Outcome]:
    """Named, healed or harmless? Anything else is a failure."""
    damaged = sorted(set(changed(began, place.run)) | set(changed_work(began, place.run)))
    if not damaged:
        raise Skipped("the damage changed no byte")
    after, before = place.state_made(command), place.state_made(COMMANDS[command].after or "")
    result = place.finish(COMMANDS[command].line)
    problems, note = result.problems(0, 1, 2), "refused by name"
    named = any(names_file(result, each) for each in damaged)
    if result.code == 0:
        inputs = [each for each in damaged if each in files(before)]
        other, note = differences(after, place.run, without=inputs), "harmless or healed"
        if other and named and not broken(place.run, after, began, without=[*inputs, *PAGES]):
            other, note = [], "named and left out"
        problems += other
    else:
        if not problems and not named and not any(Path(each).name in result.message() for each in damaged):
            problems.append(f"not named, but: {result.message()[:300]}")
        problems += broken(place.run, after, began, without=damaged)
    return [Outcome(name, [f"{', '.join(damaged)}: {problem}" for problem in problems], "" if problems else note)]


def names_file(result: Result, name: str) -> bool:
    """Whether a word of the output is the file's path, in the run directory or with it."""
    words = {word.strip("'\"`,;:()[]│").removesuffix(".") for word in f"{result.stdout}\n{result.stderr}".split()}
    return any(word == name or word.endswith(f"run/{name}") for word in words)


def _half_trained(place: Place) -> Path:
    """A copy of a run whose training was killed after its first checkpoint."""
    copy = place.root / "half-trained"
    if not copy.is_dir():
        place.state("train")
        place.set_back(COMMANDS["train"].after)
        process = place.start(COMMANDS["train"].line)
        _wait_for_checkpoint(place.run, process)
        process.send(signal.SIGKILL, group=True)
        process.finish()
        shutil.copytree(place.run, copy, copy_function=shutil.copy2)
    return copy


def _wait_for_checkpoint(run: Path, process: Process) -> None:
    while process.is_running() and not list(run.rglob("checkpoint-*/learnalign.json")):
        time.sleep(0.005)
