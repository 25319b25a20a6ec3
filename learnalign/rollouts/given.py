"""A file of completions (or counts) in any order, read twice: once to find the lines of each prompt, then these, shard by shard.

Each line names a prompt by `id` or `prompt` (text or messages; the system message and the worked examples of data.few_shot do
not count) and has one of: `completion` (text), `completion_ids` (the sampled tokens, EOS included), or both, with a
`finish_reason` if it is length; `completions`, a list of texts; or only the counts `correct` and `scored`. So has each row of a
Parquet file, where null is as if the column were not there.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from learnalign.columns import LeaveOut, text_of
from learnalign.errors import InputError, counted, one_line, short
from learnalign.inputs import COMPRESSIONS, is_parquet, json_line, opened, readable, state_of
from learnalign.pool_table import Prompts, each
from learnalign.rollouts.groups import Counts
from learnalign.rundir.files import as_json, disk_error
from learnalign.sources import READERS

_MOST = 2**31  # of token ids and counts, which are stored as 32-bit integers


@dataclass(frozen=True, slots=True)
class GivenCompletion:
    """A completion in the file; at least one of text and completion_ids is given."""

    text: str | None
    completion_ids: list[int] | None
    finish_reason: str


@contextlib.contextmanager
def seekable(path: Path, folder: Path) -> Iterator[BinaryIO]:
    """The JSON lines of a file, to be read in any order; of one in another form, they are in `folder`, where they have no name."""
    blocks = _rows(path) if is_parquet(path) else _unpacked(path) if path.suffix.lower() in COMPRESSIONS else None
    if blocks is None:
        with readable(path):
            file = path.open("rb")
        with file:
            yield file
        return
    with tempfile.TemporaryFile(dir=folder) as unpacked:
        for block in blocks:
            try:
                unpacked.write(block)
            except OSError as error:
                raise disk_error(folder / path.stem, error) from None
        unpacked.seek(0)
        yield cast(BinaryIO, unpacked)


def _unpacked(path: Path) -> Iterator[bytes]:
    with opened(path) as packed:
        while block := packed.read(1 << 20):
            yield block


def _rows(path: Path) -> Iterator[bytes]:
    """Rows as JSON lines, without what is null; of counts, pandas makes floats where some rows have none."""
    for source in READERS[".parquet"](path):
        given = {name: value for name, value in source.row.items() if value is not None}
        for name in ("correct", "scored"):
            if isinstance(value := given.get(name), float) and value.is_integer():
                given[name] = int(value)
        yield as_json(given).encode() + b"\n"


class Given:
    """What a file gives for the prompts of a pool; of a line with completions, 16 bytes stay in memory.

    `rows` counts the lines, `retokenised` the completions without token ids; `unmatched` has the reasons of lines that match no prompt.
    """

    def __init__(self, path: Path, lines: BinaryIO, prompts: Prompts, shown: int) -> None:
        """Read the `lines` of `path` for the first time; every prompt of the pool shows `shown` worked examples.

        Raises InputError if the file cannot be read, has a malformed line, or matches no prompt.
        """
        self.rows = self.retokenised = 0
        self.unmatched: dict[int, str] = {}
        self._path, self._lines, self._prompts = path, lines, prompts
        with readable(path):
            self._state = state_of(path)
        self._counts = np.full((len(prompts), 2), -1, np.int32)  # scored, correct
        self._has_completions = np.zeros(len(prompts), bool)
        found = array("q"), array("i"), array("i")
        self._read(_PromptIndex(prompts, shown), *found)
        starts, places, most = (np.frombuffer(each, each.typecode) for each in found)
        order = np.argsort(places, kind="stable")  # in a prompt's group, the order is the file's
        self._starts, self._places, self._most = starts[order], places[order], most[order]

    def _read(self, pool: _PromptIndex, starts: array[int], places: array[int], most: array[int]) -> None:
        """Take the lines; of those with completions, note where they start, the prompts' places and the largest token ids."""
        start, name = 0, f"--from {self._path}"
        unit, first = ("row", 0) if is_parquet(self._path) else ("line", 1)
        with readable(self._path):
            for number, raw in enumerate(self._lines, first):
                if given := json_line(raw, number, name):
                    where, row = f"{name}: {unit} {number}", given.row
                    self.rows += 1
                    completions = _completions(row, where)
                    place, reason = pool.find(row, where)
                    if place is None:
                        self.unmatched[number] = reason
                    else:
                        self._take(place, row, completions, where)
                        if completions is not None:
                            starts.append(start)
                            places.append(place)
                            most.append(max(completions[0].completion_ids or [0]))
                start += len(raw)
        if not places and not (self._counts >= 0).any():
            why = "".join(f" ({unit} {number}: {reason})" for number, reason in list(self.unmatched.items())[:1])
            raise InputError(f"{name}: none of its {counted(self.rows, 'row')} matches a prompt of the pool{why}")

    def _take(self, place: int, row: dict[str, Any], completions: list[GivenCompletion] | None, where: str) -> None:
        if completions is not None:
            self._has_completions[place] = True
            self.retokenised += sum(one.completion_ids is None for one in completions)
        elif self.counts(place):
            raise InputError(f"{where}: prompt {self._id(place)} has counts twice; merge them into one line")
        else:
            self._counts[place] = row["scored"], row["correct"]
        if self._has_completions[place] and self.counts(place):
            raise InputError(f"{where}: prompt {self._id(place)} has completions and counts; give only one of them")

    def _id(self, place: int) -> str:
        return self._prompts.ids[place]

    def __bool__(self) -> bool:
        """Whether it has completions, not counts alone."""
        return len(self._places) > 0

    def counts(self, place: int) -> Counts | None:
        """The counts of the prompt at this place, None without."""
        scored, correct = self._counts[place].tolist()
        return None if scored < 0 else Counts(self._id(place), scored, correct)

    def completions(self, start: int, stop: int) -> list[tuple[int, GivenCompletion]]:
        """The completions of the prompts from place `start` to `stop`, each with its prompt's place, in the pool's order.

        Raises InputError if the file has changed since it was read first.
        """
        first, last = np.searchsorted(self._places, [start, stop])
        places, starts = self._places[first:last].tolist(), self._starts[first:last].tolist()
        lines: dict[int, bytes] = {}
        with readable(self._path):
            for begin in sorted(starts):
                self._lines.seek(begin)
                lines[begin] = self._lines.readline()
            state = state_of(self._path)
        if state != self._state:
            raise InputError(f"--from {self._path}: it has changed while it was read; run the same command again")
        given = []
        for place, begin in zip(places, starts, strict=True):
            row = json_line(lines[begin], 2 if begin else 1, f"--from {self._path}")
            assert row is not None, "the line was read before"
            given += [(place, one) for one in _completions(row.row, f"--from {self._path}") or ()]
        return given

    def check_tokens(self, size: int) -> None:
        """Raise InputError if a completion has a token id that a tokenizer of `size` tokens does not have."""
        beyond = np.flatnonzero(self._most >= size)
        if len(beyond):
            id, most = self._id(self._places[beyond[0]]), self._most[beyond[0]]
            raise InputError(
                f"--from {self._path}: a completion of prompt {id} has token id {most}, but the tokenizer has "
                f"{counted(size, 'token')}; give the ids of this model's tokenizer, or only the texts"
            )


def _completions(row: dict[str, Any], where: str) -> list[GivenCompletion] | None:
    """The completions of a row, None for a row of counts."""
    text, several, ids = row.get("completion"), row.get("completions"), row.get("completion_ids")
    reason = row.get("finish_reason", "stop")
    if reason not in ("stop", "length"):
        raise InputError(f"{where}: finish_reason is {short(reason)}, not stop or length")
    if isinstance(several, list) and several and all(isinstance(one, str) for one in several):
        return [GivenCompletion(_unicode(one), None, reason) for one in several]
    if ids is not None and not (
        isinstance(ids, list) and ids and all(type(id) is int and 0 <= id < _MOST for id in ids)
    ):
        raise InputError(f"{where}: completion_ids is not a list of token ids")
    if isinstance(text, str) or (text is None and ids is not None):
        return [GivenCompletion(None if text is None else _unicode(text), ids, reason)]
    correct, scored = row.get("correct"), row.get("scored")
    if type(correct) is int and type(scored) is int and 0 <= correct <= scored < _MOST:
        return None
    raise InputError(
        f"{where} needs a `completion` (text), `completions` (a list of texts), `completion_ids`, or `correct` and "
        "`scored` (whole numbers, correct ≤ scored)"
    )


def _unicode(text: str) -> str:
    """`text` with � for half a surrogate pair, as a tokenizer prints what is no character."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


class _PromptIndex:
    """Finds the places of prompts by id, or by their text, with or without the system message and the `shown` worked examples."""

    def __init__(self, prompts: Prompts, shown: int) -> None:
        self._prompts, self._shown = prompts, shown

    @functools.cached_property
    def _by_text(self) -> dict[bytes, list[int]]:
        places: dict[bytes, list[int]] = {}
        for place, messages in enumerate(each(self._prompts, "messages")):
            for digest in {_digest(messages), _digest(messages, 2 * self._shown)}:
                places.setdefault(digest, []).append(place)
        return places

    def find(self, row: dict[str, Any], where: str) -> tuple[int | None, str]:
        """The place of the prompt that `row` names, or None and the reason."""
        id = row.get("id")
        name = id if isinstance(id, str) else as_json(id)
        if (place := self._prompts.places.get(name)) is not None:
            return place, ""
        if "prompt" not in row:
            if "id" not in row:
                raise InputError(f"{where} names no prompt; give `id` or `prompt`")
            return None, f"no prompt of the pool has the id {one_line(name, 80)}"
        prompt = row["prompt"]
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        try:
            places = self._by_text.get(_digest(messages), [])
        except (TypeError, KeyError, AttributeError, LeaveOut):
            raise InputError(f"{where}: prompt is neither text nor a list of messages with role and content") from None
        if len(places) == 1:
            return places[0], ""
        return (
            None,
            f"{counted(len(places), 'prompt of the pool has', 'prompts of the pool have')} its text; give their id"
            if places
            else "no prompt of the pool has its text",
        )


def _digest(messages: Sequence[dict[str, str]], skipped: int = 0) -> bytes:
    """A digest of roles and texts after the first `skipped`, without system messages and white space around a text."""
    turns = [message for message in messages if message["role"] != "system"][skipped:]
    key = tuple((turn["role"], text_of(turn["content"]).strip()) for turn in turns)
    hash(key)  # raises TypeError for a role that is a list or an object
    return hashlib.blake2b(repr(key).encode(), digest_size=16).digest()
