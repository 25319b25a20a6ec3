"""Too much memory, too much on the file systems, too much output, too deep a stack."""

# ruff: noqa: E501

from tests.verify.code.hostile.hostile import READ, Hostile

FILL = """
def fill(folder):
    try:
        with open(folder + "/fill", "wb", buffering=0) as file:
            while True: file.write(bytes(1 << 22))
    except OSError: pass
"""

PROGRAMS = (
    Hostile("hoard", "memory without end", READ + "hoard = []\nwhile True: hoard.append(bytearray(1 << 24))"),
    Hostile(
        "stubborn hoard",
        "memory without end, whatever is refused",
        READ
        + """
hoard, size = [], 1 << 24
while True:
    try: hoard.append(bytearray(size))
    except MemoryError: size = max(size // 2, 64)
""",
    ),
    Hostile(
        "many hoards",
        "many processes that each take less than the limit",
        READ
        + """
for _ in range(300):
    try:
        if os.fork() == 0:
            hoard = bytearray(200 << 20)
            for at in range(0, len(hoard), 4096): hoard[at] = 1
            time.sleep(1e6)
    except OSError: pass
time.sleep(1e6)
""",
    ),
    Hostile(
        "tmpfs filled",
        "fill every place that can be written",
        READ
        + FILL
        + "for folder in ('/tmp', '/dev/shm', '.', '/run', '/var/tmp', os.path.expanduser('~')): fill(folder)",
    ),
    Hostile(
        "memory files",
        "memory in files without a name",
        READ
        + """
held = []
while True:
    try:
        held.append(os.memfd_create("x"))
        for _ in range(64): os.write(held[-1], bytes(1 << 20))
    except OSError: pass
""",
    ),
    Hostile(
        "shared memory",
        "anonymous shared memory",
        READ
        + "import mmap\nheld = []\nwhile True:\n    try:\n        held.append(mmap.mmap(-1, 64 << 20))\n        held[-1].write(bytes(64 << 20))\n    except (OSError, MemoryError, ValueError): pass",
    ),
    Hostile(
        "huge file",
        "a file of a terabyte with a hole",
        READ
        + """
for folder in ("/tmp", ".", "/dev/shm"):
    try:
        with open(folder + "/huge", "wb") as file:
            file.truncate(1 << 40)
            file.seek((1 << 40) - 1)
            file.write(b"x")
    except OSError: pass
""",
    ),
    Hostile(
        "many files",
        "files without end",
        READ
        + "n = 0\nwhile True:\n    try:\n        os.close(os.open(f'/tmp/{n}', os.O_CREAT | os.O_WRONLY))\n        n += 1\n    except OSError: pass",
    ),
    Hostile(
        "deep directories",
        "directories inside one another without end",
        READ
        + "os.chdir('/tmp')\nwhile True:\n    try:\n        os.mkdir('d' * 200)\n        os.chdir('d' * 200)\n    except OSError: pass",
    ),
    Hostile(
        "full pipes",
        "kernel memory: pipes and sockets, all full",
        READ
        + """
held = []
while True:
    try:
        a, b = socket.socketpair()
        for one in (a, b):
            one.setblocking(False)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 24)
        held += [a, b]
        while True: a.send(bytes(1 << 20))
    except OSError: pass
""",
    ),
    Hostile("endless output", "print without end", READ + "while True: os.write(1, b'x' * 65536 + b'\\n')"),
    Hostile("endless line", "print one line without end", READ + "while True: os.write(1, b'x' * 65536)"),
    Hostile("endless errors", "print without end on standard error", READ + "while True: os.write(2, b'x' * 65536)"),
    Hostile(
        "both outputs",
        "print without end on both, from two threads",
        READ
        + "def out(fd):\n    while True: os.write(fd, b'passed\\n' * 8192)\nthreading.Thread(target=out, args=(2,)).start()\nout(1)",
    ),
    Hostile(
        "slow output",
        "print a byte now and then, for ever",
        READ + "while True:\n    os.write(1, b'.')\n    time.sleep(0.05)",
    ),
    Hostile(
        "deep recursion",
        "recurse until the stack ends",
        READ + "sys.setrecursionlimit(1 << 30)\nthreading.stack_size(1 << 28)\ndef f(n): return f(n + 1) + 1\nf(0)",
    ),
    Hostile(
        "deep recursion in C++",
        "recurse until the stack ends",
        '#include <cstdio>\nvolatile int x;\nint f(int n) { volatile char a[4096]; a[n % 4096] = n; x = a[0]; return f(n + 1) + a[n % 4096]; }\nint main() { printf("%d", f(0)); }',
        language="cpp",
    ),
    Hostile(
        "hoard in C++",
        "memory without end",
        "#include <cstdlib>\n#include <cstring>\nint main() { for (;;) { void *p = malloc(1 << 24); if (p) memset(p, 1, 1 << 24); } }",
        language="cpp",
    ),
    Hostile(
        "endless output in C++",
        "print without end",
        '#include <cstdio>\nint main() { for (;;) puts("passed"); }',
        language="cpp",
    ),
    Hostile("huge number", "a number too long to print", READ + "print(10 ** 10 ** 8)"),
    Hostile("huge list", "a list too long to hold", READ + "print(len([0] * 10 ** 12))"),
)
