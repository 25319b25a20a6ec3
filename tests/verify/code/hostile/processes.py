"""Too many processes, processes that stay, and signals to others."""

from tests.verify.code.hostile.hostile import READ, Hostile

PROGRAMS = (
    Hostile("fork bomb", "fork without end", READ + "while True:\n    try: os.fork()\n    except OSError: pass"),
    Hostile(
        "double-fork bomb",
        "fork without end, each child twice and in a session of its own",
        READ
        + """
def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            return True
        os._exit(0)
    return False
while True:
    try: daemon()
    except OSError: pass
""",
    ),
    Hostile(
        "shell fork bomb", "the shell's fork bomb", READ + "os.execv('/bin/sh', ['sh', '-c', 'f(){ f|f& }; f; wait'])"
    ),
    Hostile(
        "thread bomb",
        "threads without end",
        READ
        + """
while True:
    try: threading.Thread(target=time.sleep, args=(1e6,)).start()
    except RuntimeError: pass
""",
    ),
    Hostile(
        "daemon",
        "a daemon that outlives its program",
        READ
        + """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for fd in range(64):
            try: os.close(fd)
            except OSError: pass
        time.sleep(1e6)
    os._exit(0)
""",
    ),
    Hostile(
        "daemon that prints",
        "a daemon that holds standard output open, and prints later",
        READ
        + """
if os.fork() == 0:
    os.setsid()
    while True:
        print("passed", flush=True)
        time.sleep(0.2)
""",
    ),
    Hostile(
        "children at work",
        "children that compute for ever after the program ends",
        READ
        + """
for _ in range(4):
    if os.fork() == 0:
        while True: pass
""",
    ),
    Hostile(
        "thread that outlives",
        "a thread that never ends",
        READ + "threading.Thread(target=time.sleep, args=(1e6,)).start()",
    ),
    Hostile(
        "atexit",
        "never end at exit",
        READ + "import atexit\natexit.register(time.sleep, 1e6)\natexit.register(lambda: print('passed'))",
    ),
    Hostile("busy loop", "compute for ever", READ + "while True: pass"),
    Hostile("sleep", "sleep for ever", READ + "time.sleep(1e6)"),
    Hostile(
        "signals ignored",
        "ignore every signal that can be",
        READ
        + """
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
while True: pass
""",
    ),
    Hostile("stopped", "stop itself", READ + "os.kill(os.getpid(), signal.SIGSTOP)"),
    Hostile("parent stopped", "stop the parent", READ + "os.kill(os.getppid(), signal.SIGSTOP)\ntime.sleep(1e6)"),
    Hostile(
        "parent killed",
        "kill the parent",
        READ
        + """
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL):
    try: os.kill(os.getppid(), number)
    except OSError: pass
time.sleep(1e6)
""",
    ),
    Hostile("kill -1", "kill every process", READ + "os.kill(-1, signal.SIGKILL)"),
    Hostile(
        "everybody killed",
        "kill every process by its number, and every group",
        READ
        + """
for pid in range(1, 40000):
    if pid not in (os.getpid(), os.getpgrp()):
        for kill in (os.kill, os.killpg):
            try: kill(pid, signal.SIGKILL)
            except OSError: pass
os.killpg(0, signal.SIGKILL)
""",
    ),
    Hostile(
        "limits raised",
        "raise every limit, then fork and hoard",
        READ
        + """
import resource
for name in dir(resource):
    if name.startswith("RLIMIT_"):
        for limits in ((resource.RLIM_INFINITY,) * 2, (1 << 40, 1 << 40)):
            try: resource.setrlimit(getattr(resource, name), limits)
            except (OSError, ValueError): pass
hoard = []
while True:
    try:
        os.fork()
        hoard.append(bytearray(1 << 22))
    except (OSError, MemoryError): pass
""",
    ),
    Hostile(
        "real time",
        "take the processor by priority",
        READ
        + """
for way in (lambda: os.nice(-20), lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(99))):
    try: way()
    except OSError: pass
while True: pass
""",
    ),
    Hostile(
        "parent traced",
        "take the parent over by ptrace",
        READ
        + """
libc = ctypes.CDLL(None, use_errno=True)
for pid in range(1, 200):
    if pid != os.getpid():
        libc.ptrace(16, pid, 0, 0)
        libc.ptrace(0x4206, pid, 0, 0)
time.sleep(1e6)
""",
    ),
    Hostile(
        "fork bomb in C++",
        "fork without end",
        "#include <unistd.h>\nint main() { for (;;) { fork(); setsid(); } }",
        language="cpp",
    ),
    Hostile(
        "vfork and clone",
        "processes by raw system calls, orphaned at once",
        """
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>
int main() {
    for (;;) {
        long pid = syscall(SYS_clone, CLONE_PARENT, 0, 0, 0, 0);
        if (pid == 0) for (;;) pause();
    }
}
""",
        language="cpp",
    ),
)
