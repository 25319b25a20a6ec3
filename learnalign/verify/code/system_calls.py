"""The filter of system calls in the sandbox, as the kernel's classic BPF: no namespaces, no tracing, no hidden memory."""

from __future__ import annotations

import errno
import platform
import struct

# Numbers of the kernel's tables, x86_64 and aarch64 (asm/unistd_64.h and asm-generic/unistd.h of its headers).
_NUMBERS = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "quotactl": (179, 60),
    "swapon": (167, 224),
    "acct": (163, 89),
    "sched_setaffinity": (203, 122),
    "personality": (135, 92),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "clone": (56, 220),
    "clone3": (435, 435),
}
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_NEW_NAMESPACES = 0x7E020000  # all CLONE_NEW* flags
_X32 = 0x40000000  # bit of x86_64's second table


def supported() -> bool:
    """Whether there is a filter for this kind of machine."""
    return platform.machine() in _MACHINES


def filter_program() -> bytes:
    """The instructions: what is denied fails with EPERM; clone3, whose flags cannot be seen, does not exist."""
    column, arch = _MACHINES[platform.machine()]
    numbers = {name: pair[column] for name, pair in _NUMBERS.items()}
    clone, clone3 = numbers.pop("clone"), numbers.pop("clone3")
    denied = sorted(numbers.values())
    tests = [*((_EQUAL, number) for number in denied), (_AT_LEAST, _X32)]
    code = [(_LOAD, 0, 0, _ARCH), (_EQUAL, 1, 0, arch), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, _NUMBER)]
    # A jump is the number of instructions to skip. After the tests come those of clone, then allow, deny, missing.
    after = 4
    code += [(test, len(tests) - 1 - place + after + 1, 0, value) for place, (test, value) in enumerate(tests)]
    code += [
        (_EQUAL, 5, 0, clone3),  # to missing
        (_EQUAL, 0, 2, clone),  # to allow
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_ANY_BIT, 1, 0, _NEW_NAMESPACES),  # to deny
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERROR | errno.EPERM),
        (_RETURN, 0, 0, _ERROR | errno.ENOSYS),
    ]
    return b"".join(struct.pack("<HBBI", *each) for each in code)
