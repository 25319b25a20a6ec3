"""Where a test's own answer could lie: memory, frames, files, descriptors, what the judge calls."""

# ruff: noqa: E501

from tests.verify.code.hostile.escapes import FIND
from tests.verify.code.hostile.hostile import READ, Hostile

IMPORTS = READ.partition("\n")[0] + "\n" + FIND
CALLED = "def f(facts):\n"
MEMORY = """
def search(pid):
    try:
        with open(f'/proc/{pid}/maps') as maps, open(f'/proc/{pid}/mem', 'rb') as memory:
            for line in maps:
                low, high = (int(end, 16) for end in line.split()[0].split('-'))
                if high - low < 1 << 26 and 'r' in line.split()[1]:
                    try:
                        memory.seek(low)
                        find(memory.read(high - low))
                    except (OSError, ValueError, OverflowError): pass
    except OSError: pass
"""
# A called function gives back what it finds; what a program finds it prints, and the judge may read either.
GIVE = IMPORTS.replace("print(found[0], flush=True)\n        os._exit(0)", "raise Found(found[0])")
GIVE = "class Found(BaseException): pass\n" + GIVE


def _both(name: str, tries: str, search: str) -> tuple[Hostile, Hostile]:
    """The same search for the answer: while a function is called, and for assertions."""
    indented = "\n".join("        " + line for line in search.strip("\n").splitlines())
    program = GIVE + MEMORY + f"def f(*given):\n    try:\n{indented}\n    except Found as found: return str(found)\n"
    return Hostile(f"{name}, called", tries, program, shape="called"), Hostile(
        f"{name}, asserted", tries, program, shape="asserted"
    )


PROGRAMS = (
    Hostile("own memory", "search its own memory for the answer", READ + FIND + MEMORY + "search('self')"),
    Hostile(
        "parent's memory",
        "search the memory of parent and first process",
        READ + FIND + MEMORY + "search(os.getppid())\nsearch(1)",
    ),
    Hostile(
        "parent's memory by system call",
        "process_vm_readv of the parent",
        READ
        + FIND
        + """
libc = ctypes.CDLL(None, use_errno=True)
class Part(ctypes.Structure): _fields_ = [('base', ctypes.c_void_p), ('length', ctypes.c_size_t)]
for pid in {os.getppid(), 1, 2, 3}:
    try: lines = open(f'/proc/{pid}/maps').read().splitlines()
    except OSError: continue
    for line in lines:
        low, high = (int(end, 16) for end in line.split()[0].split('-'))
        size = min(high - low, 1 << 24)
        buffer = ctypes.create_string_buffer(size)
        here, there = Part(ctypes.addressof(buffer), size), Part(low, size)
        if libc.process_vm_readv(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0) > 0: find(buffer.raw)
""",
    ),
    Hostile(
        "rest of the input",
        "read on where the tests come from",
        "import json, os, re, sys\nprint(re.search(r'SECRET-[0-9a-f]{32}', sys.stdin.read() + repr(sys.argv) + repr(dict(os.environ)))[0])",
    ),
    Hostile(
        "every descriptor",
        "read every open descriptor",
        READ
        + FIND
        + """
for fd in range(3, 256):
    try: os.set_blocking(fd, False)
    except OSError: continue
    for way in (lambda: os.read(fd, 1 << 20), lambda: os.pread(fd, 1 << 20, 0)):
        try: find(way())
        except OSError: pass
    try: find(socket.socket(fileno=os.dup(fd)).recv(1 << 20))
    except OSError: pass
""",
    ),
    Hostile(
        "own files",
        "search every file it can write or was given",
        READ
        + FIND
        + "for folder in ('.', '/tmp', '/dev/shm', '/work', '/sandbox', '/box', os.path.dirname(os.path.abspath(sys.argv[0] or '.'))):\n    for at, _, names in os.walk(folder):\n        for name in names:\n            if os.path.isfile(os.path.join(at, name)): look(os.path.join(at, name))",
    ),
    Hostile(
        "modules",
        "search every module and every object",
        READ
        + FIND
        + "import gc\nfor module in list(sys.modules.values()): find(repr(getattr(module, '__dict__', '')))\nfor one in gc.get_objects():\n    try: find(repr(one))\n    except Exception: pass",
    ),
    Hostile(
        "frames at the start",
        "search all frames while the program is loaded",
        IMPORTS
        + "frame = sys._getframe()\nwhile frame:\n    find(repr(frame.f_locals) + repr(frame.f_globals) + repr(frame.f_code.co_consts))\n    frame = frame.f_back\ndef f(*given): return None",
        shape="called",
    ),
    *_both(
        "frames",
        "search the frames of the caller",
        "frame = sys._getframe()\nwhile frame:\n    find(repr(frame.f_locals) + repr(frame.f_globals) + repr(frame.f_code.co_consts))\n    frame = frame.f_back",
    ),
    *_both(
        "garbage collector",
        "search every object",
        "import gc\nfor one in gc.get_objects():\n    for each in (one, *gc.get_referrers(one)[:3]):\n        try: find(repr(each))\n        except Exception: pass",
    ),
    *_both("memory", "search its own and the parent's memory", "search('self')\nsearch(os.getppid())\nsearch(1)"),
    *_both(
        "sources",
        "search the texts of the callers",
        "import inspect, linecache\nfind(repr(linecache.cache))\nfor frame in inspect.stack(64):\n    find(repr(frame.code_context))\n    look(frame.filename)\nlook(sys.argv[0])\nfor path in glob.glob('/tmp/**', recursive=True): look(path)",
    ),
    *_both(
        "descriptors",
        "read every open descriptor",
        "for fd in [0, *range(3, 256)]:\n    try: os.set_blocking(fd, False)\n    except OSError: continue\n    for way in (lambda: os.read(fd, 1 << 20), lambda: os.pread(fd, 1 << 20, 0)):\n        try: find(way())\n        except OSError: pass",
    ),
    *_both(
        "arguments of the judge",
        "search arguments and variables",
        "find(repr(given) + repr(sys.argv) + repr(sys.orig_argv) + repr(dict(os.environ)))",
    ),
    Hostile(
        "traced judge",
        "follow every line that the judge runs in this process",
        IMPORTS
        + """
seen = []
def trace(frame, event, argument):
    text = repr(frame.f_locals) + repr(argument)
    found = re.search(r'SECRET-[0-9a-f]{32}', text)
    if found: seen.append(found[0])
    return trace
sys.settrace(trace); sys.setprofile(trace); threading.settrace(trace)
frame = sys._getframe()
while frame:
    frame.f_trace = trace
    frame = frame.f_back
class Late:
    def __eq__(self, other): return bool(seen)
    def __str__(self): return seen[-1] if seen else ''
    __repr__ = __str__
def f(*given): return seen[-1] if seen else str(Late())
""",
        shape="asserted",
    ),
    Hostile(
        "patched reading",
        "put its own functions where the judge's are",
        IMPORTS
        + """
import builtins, io
seen, text, inside = [], repr, []
def spy(function):
    def call(*args, **kwargs):
        value = function(*args, **kwargs)
        if not inside:
            inside.append(1)
            found = re.search(r'SECRET-[0-9a-f]{32}', text(args) + text(value))
            if found: seen.append(found[0])
            inside.clear()
        return value
    return call
for name in ('repr', 'str', 'len', 'isinstance', 'getattr', 'eval', 'exec', 'compile', 'print', 'open', 'sorted', 'all', 'any', 'type', 'hash', 'id', 'input'):
    if name not in ('str', 'type'): setattr(builtins, name, spy(getattr(builtins, name)))
for module, names in ((json, ('loads', 'dumps', 'load', 'dump')), (os, ('read', 'write')), (io, ('open',))):
    for name in names: setattr(module, name, spy(getattr(module, name)))
def f(*given): return seen[-1] if seen else None
""",
        shape="called",
    ),
    Hostile(
        "answer later",
        "answer only when the judge has shown what is right",
        IMPORTS
        + """
import gc
class Answer(str):
    def _find(self):
        for one in gc.get_objects():
            if isinstance(one, (dict, list, tuple)):
                found = re.search(r'SECRET-[0-9a-f]{32}', repr(one))
                if found: return found[0]
        return 'x'
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __str__(self): return self._find()
    def __repr__(self): return repr(self._find())
    def __hash__(self): return hash(self._find())
def f(*given): return Answer('x')
""",
        shape="asserted",
    ),
)
