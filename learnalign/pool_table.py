"""The prompts of a pool as columns, in memory or in prompts.parquet: a million prompts without a million objects."""

from __future__ import annotations

import bisect
import functools
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from learnalign.columns import Messages
from learnalign.rundir import Quarantined

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 2048  # of a group of rows, which is made, written and read as one
_KEPT = 8  # groups that stay in memory once they are read
TOKENS, PROMPT_IDS = (
    "tokens",
    "prompt_ids",
)  # columns of prompts.parquet, of the rendered prompt; files of earlier versions lack them
FIELDS = ("id", "row", "messages", "answer", "solution", "source", "line")


@dataclass(frozen=True)
class Prompt:
    """One question with its gold answer; `row` counts the input's rows from 0, `source` is that row's JSON.

    `line` is where it begins in a file of lines, from 1; it is known when the pool is read, and not stored.
    """

    id: str
    row: int
    messages: Messages
    answer: str
    solution: str | None
    source: str
    line: int | None = field(default=None, compare=False)

    def left_out(self, reason: str) -> Quarantined:
        """The line of quarantine.jsonl for it."""
        return Quarantined(id=self.id, row=self.row, line=self.line, reason=reason)


class Packed(NamedTuple):
    """A group of prompts: how many, their columns compressed, and what is added to their `row` and `line`."""

    rows: int
    content: pa.Buffer
    rows_before: int = 0
    lines_before: int = 0


Fields = tuple[str, int, Messages | str, str, str | None, str, int | None]  # of a Prompt


class Prompts(Sequence[Prompt]):
    """Prompts whose text stays in columns: a `Prompt` is made when it is asked for, a slice is a list of them.

    `column` reads one column alone. Items at places far from each other are cheaper by `take`.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        read: Callable[[int, list[str] | None], pa.Table],
        more: Collection[str] = (),
    ) -> None:
        """`sizes` of the groups of rows; `read` gives the columns of a group, None for those of prompts; `more` columns there are."""
        self._starts = [0, *itertools.accumulate(sizes)]
        self._read, self.more = read, more
        self._group = functools.lru_cache(_KEPT)(lambda group: read(group, None))
        self._column = functools.lru_cache(_KEPT)(lambda group, name: read(group, [name])[name])

    @classmethod
    def of(cls, groups: Sequence[Packed]) -> Prompts:
        """Prompts in memory."""
        return cls([group.rows for group in groups], lambda group, names: unpacked(groups[group], names))

    def __len__(self) -> int:
        return self._starts[-1]

    def column(self, name: str) -> pa.ChunkedArray:
        """A column: id, row, messages, answer, solution or source."""
        import pyarrow as pa

        chunks = [chunk for column in self.chunks(name) for chunk in column.chunks]
        return pa.chunked_array(chunks, schema().field(name).type)

    def chunks(self, name: str) -> Iterator[pa.ChunkedArray]:
        """A column, one group of rows after another."""
        return (self._read(group, [name])[name] for group in range(len(self._starts) - 1))

    def part(self, name: str, start: int, stop: int) -> list[Any]:
        """The values of a column from place `start` to `stop`, which is past the last."""
        values: list[Any] = []
        for group, (begin, end) in enumerate(itertools.pairwise(self._starts)):
            if max(start, begin) < min(stop, end):
                column = self._column(group, name)
                values += column.slice(max(start - begin, 0), min(stop, end) - max(start, begin)).to_pylist()
        return values

    @functools.cached_property
    def id_column(self) -> pa.ChunkedArray:
        return self.column("id")

    @functools.cached_property
    def ids(self) -> list[str]:
        return self.id_column.to_pylist()  # type: ignore[no-any-return]

    @functools.cached_property
    def places(self) -> dict[str, int]:
        """Places by id."""
        return {id: place for place, id in enumerate(self.ids)}

    def named(self, ids: Sequence[str]) -> list[Prompt]:
        """The prompts with these ids, in their order."""
        return self.take([self.places[id] for id in ids])

    @overload
    def __getitem__(self, place: int) -> Prompt: ...
    @overload
    def __getitem__(self, place: slice) -> list[Prompt]: ...
    def __getitem__(self, place: int | slice) -> Prompt | list[Prompt]:
        if isinstance(place, slice):
            return self.take(range(*place.indices(len(self))))
        if not -len(self) <= place < len(self):
            raise IndexError(f"prompt {place} of {len(self)}")
        return self.take([place % len(self)])[0]

    def __iter__(self) -> Iterator[Prompt]:
        for group in self.groups():
            yield from prompts_of(group)

    def groups(self) -> Iterator[pa.Table]:
        """The columns, one group of rows after another."""
        return (self._read(group, None) for group in range(len(self._starts) - 1))

    def take(self, places: Sequence[int]) -> list[Prompt]:
        """The prompts at these places (from 0), in this order; each group of rows is read once."""
        taken: dict[int, Prompt] = {}
        in_order = sorted(set(places))
        for group, members in itertools.groupby(in_order, lambda place: bisect.bisect(self._starts, place) - 1):
            start = self._starts[group]
            wanted = list(members)
            taken |= zip(wanted, prompts_of(self._group(group).take([place - start for place in wanted])), strict=True)
        return [taken[place] for place in places]

    def without(self, ids: Iterable[str | None]) -> Prompts:
        """Those that have none of these ids."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not (left_out := pa.array(ids, pa.string())):
            return self
        kept = [pc.invert(pc.is_in(column, left_out)) for column in self.chunks("id")]
        sizes = [pc.sum(mask).as_py() or 0 for mask in kept]
        return Prompts(sizes, lambda group, names: self._read(group, names).filter(kept[group]), self.more)


def each(prompts: Sequence[Prompt], name: str) -> Iterator[Any]:
    """One field of each prompt; of those in columns, no other is read."""
    if isinstance(prompts, Prompts):
        return (value for column in prompts.chunks(name) for value in column.to_pylist())
    return (getattr(prompt, name) for prompt in prompts)


def prompts_of(table: pa.Table) -> list[Prompt]:
    """The prompts of a group of rows."""
    columns = [table[name].to_pylist() for name in FIELDS if name in table.column_names]
    return [Prompt(*values) for values in zip(*columns, strict=True)]


def schema() -> pa.Schema:
    """The columns of prompts.parquet that every version writes."""
    import pyarrow as pa

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    kinds = [pa.string(), pa.int64(), pa.list_(message), pa.string(), pa.string(), pa.string()]
    return pa.schema(list(zip(FIELDS[:-1], kinds, strict=True)))


def group_of(columns: Sequence[Sequence[Any]], system: Messages) -> pa.Table:
    """A group of rows of these `FIELDS`; a text in place of messages is a question after `system`."""
    import pyarrow as pa

    named = dict(zip(FIELDS, columns, strict=True))
    full = schema().append(pa.field("line", pa.int64()))
    return pa.table({**named, "messages": messages_column(named["messages"], system)}, schema=full)


def messages_column(messages: Sequence[Messages | str], system: Messages) -> pa.Array:
    """Messages as a column, faster than from a list of dictionaries; texts are questions after `system`."""
    import pyarrow as pa

    if all(isinstance(one, str) for one in messages):
        turns = len(system) + 1
        ends = list(range(0, turns * len(messages) + 1, turns))
        roles = [*(turn["role"] for turn in system), "user"] * len(messages)
        before = (itertools.repeat(turn["content"]) for turn in system)
        contents = list(itertools.chain.from_iterable(zip(*before, messages, strict=False)))
    else:
        full = [[*system, {"role": "user", "content": one}] if isinstance(one, str) else one for one in messages]
        every = list(itertools.chain.from_iterable(full))
        roles, contents = [turn["role"] for turn in every], [turn["content"] for turn in every]
        ends = list(itertools.accumulate(map(len, full), initial=0))
    texts = [pa.array(values, pa.string()) for values in (roles, contents)]
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.StructArray.from_arrays(texts, ["role", "content"]))


def packed(table: pa.Table) -> Packed:
    """A group of rows, compressed: less memory to keep, and to get from the system."""
    import pyarrow as pa

    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_table(table)
    return Packed(len(table), stream.getvalue())


def unpacked(group: Packed, names: list[str] | None = None) -> pa.Table:
    """Columns of a packed group; None: all."""
    import pyarrow as pa
    import pyarrow.compute as pc

    reader = pa.ipc.open_stream(group.content)
    if names is not None:
        fields = [reader.schema.get_field_index(name) for name in names]
        reader = pa.ipc.open_stream(group.content, options=pa.ipc.IpcReadOptions(included_fields=fields))
    table = reader.read_all()
    for name, before in (("row", group.rows_before), ("line", group.lines_before)):
        if before and name in table.column_names:
            table = table.set_column(table.schema.get_field_index(name), name, pc.add(table[name], before))
    return table
