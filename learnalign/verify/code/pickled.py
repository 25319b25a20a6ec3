"""LiveCodeBench's private tests: base64 of zlib of a pickle of one text. Nothing is unpickled.

The pickle's opcodes are read as data. Those that write down one text are taken, any other, such as one that would import
or call something, refuses the row.
"""

from __future__ import annotations

import base64
import binascii
import pickletools
import zlib

from learnalign.verify.code.cases import BadTests

LONGEST = 1 << 28  # bytes of a row's private tests; more is taken for a zip bomb
_MOST_OPCODES = 6  # PROTO, FRAME, the text, MEMOIZE, STOP, and one to spare
_TEXTS = {"UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
_AROUND = {"PROTO", "FRAME", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "STOP"}


def read_pickled_text(packed: str) -> str:
    """The text in `packed`; raises BadTests for anything else."""
    try:
        data = base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):  # ValueError: letters that are not ASCII
        raise BadTests("the private tests are neither JSON nor base64") from None
    return _text_in(_unpacked(data))


def _unpacked(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(data, LONGEST)
    except zlib.error as error:
        raise BadTests(f"the private tests cannot be decompressed ({error})") from None
    if unpacker.unconsumed_tail:
        raise BadTests(f"the private tests have more than {LONGEST >> 20} MiB")
    if not unpacker.eof:
        raise BadTests("the private tests end too early")
    return content


def _text_in(pickle: bytes) -> str:
    texts: list[str] = []
    names: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(pickle):
            names.append(opcode.name)
            if opcode.name in _TEXTS:
                texts.append(str(argument))
            elif opcode.name not in _AROUND:
                raise BadTests(f"the private tests are a pickle of something other than one text ({opcode.name})")
            if len(names) > _MOST_OPCODES:
                raise BadTests("the private tests are a pickle of something other than one text")
    except (ValueError, MemoryError, OverflowError) as error:
        raise BadTests(f"the private tests are no pickle ({error})") from None
    if len(texts) != 1 or names[-1] != "STOP":
        raise BadTests("the private tests are a pickle of something other than one text")
    return texts[0]
