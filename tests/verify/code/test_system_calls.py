"""The filter of system calls, run on every call's number by an interpreter of its instructions."""

import errno
import platform
import struct

import pytest

from learnalign.verify.code import system_calls

ALLOW, KILL, ERROR = 0x7FFF0000, 0x80000000, 0x00050000
NEW_USER = 0x10000000


def decision(arch: int, number: int, first_argument: int = 0) -> int:
    """What the kernel would decide: classic BPF, as seccomp(2) describes it."""
    data = {0: number, 4: arch, 16: first_argument}
    code = [struct.unpack("<HBBI", each) for each in _chunks(system_calls.filter_program())]
    place, accumulator = 0, 0
    while True:
        kind, yes, no, value = code[place]
        place += 1
        if kind == 0x20:
            accumulator = data[value]
        elif kind == 0x06:
            return int(value)
        else:
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[kind]
            place += yes if holds else no


def _chunks(program: bytes) -> list[bytes]:
    return [program[i : i + 8] for i in range(0, len(program), 8)]


@pytest.mark.parametrize(("machine", "column", "arch"), [("x86_64", 0, 0xC000003E), ("aarch64", 1, 0xC00000B7)])
def test_every_call_is_decided(machine: str, column: int, arch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    numbers = {name: pair[column] for name, pair in system_calls._NUMBERS.items()}
    clone, clone3 = numbers.pop("clone"), numbers.pop("clone3")
    for number in range(600):
        denied = number in numbers.values()
        expected = ERROR | errno.EPERM if denied else ERROR | errno.ENOSYS if number == clone3 else ALLOW
        assert decision(arch, number) == expected, number
    assert decision(arch, clone, NEW_USER) == ERROR | errno.EPERM
    assert decision(arch, clone, 0x11) == ALLOW  # fork
    assert decision(arch, 0x40000000 + 101) == ERROR | errno.EPERM  # the second table of x86_64
    assert decision(arch ^ 1, 0) == KILL


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the headers of this machine have its own numbers")
def test_numbers_are_those_of_the_kernels_headers() -> None:
    try:
        with open("/usr/include/x86_64-linux-gnu/asm/unistd_64.h") as file:
            lines = [line.split() for line in file if line.startswith("#define __NR_")]
    except OSError:
        pytest.skip("the kernel's headers are not installed")
    known = {words[1].removeprefix("__NR_"): int(words[2]) for words in lines}
    pairs = {name: pair[0] for name, pair in system_calls._NUMBERS.items()}
    assert {name: known.get(name, number) for name, number in pairs.items()} == pairs
    assert known.keys() >= {"ptrace", "unshare", "clone"}
