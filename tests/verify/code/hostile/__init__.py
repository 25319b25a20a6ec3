"""Programs that attack the sandbox, the tests and the host; each passes only if it prints or returns a secret that it cannot know."""

from tests.verify.code.hostile import answers, endings, escapes, memory, processes, sources, values
from tests.verify.code.hostile.hostile import Hostile

KINDS = {
    "processes": processes.PROGRAMS,
    "memory and output": memory.PROGRAMS,
    "files and network": escapes.PROGRAMS,
    "the tests' answers": answers.PROGRAMS,
    "false endings": endings.PROGRAMS,
    "false values": values.PROGRAMS,
    "sources": sources.PROGRAMS,
}
HOSTILE: tuple[Hostile, ...] = tuple(hostile for programs in KINDS.values() for hostile in programs)
