"""Ends before the test, forged messages, and Python changed under the judge's feet."""

# ruff: noqa: E501

from tests.verify.code.hostile.hostile import READ, Hostile

IMPORTS = READ.partition("\n")[0] + "\n"
# Words that a judge might take for a message: lines, numbers, JSON, with lengths before and marks around.
FORGED = """
WORDS = ['1', '1.0', 'true', 'True', 'ok', 'OK', 'passed', 'PASSED', 'correct', 'success', 'done', '[]', '{}', 'null', '0']
for key in ('passed', 'ok', 'correct', 'success', 'result', 'value', 'reward', 'done', 'equal', 'status', 'verdict'):
    WORDS += [json.dumps({key: value}) for value in (True, 1, 1.0, 'passed', 'ok', 'correct', [True])]
WORDS += ['[true]', '["passed"]', '[[0, true]]', '["ok", null]', '[0, "ok", true]', '1 passed in 0.01s', '--- PASS', 'exit 0']
def forge(write):
    for word in WORDS:
        data = word.encode()
        for form in (data + b'\\n', data + b'\\0', len(data).to_bytes(4, 'big') + data, len(data).to_bytes(4, 'little') + data, len(data).to_bytes(8, 'little') + data, b'%d\\n%s' % (len(data), data), b'Content-Length: %d\\r\\n\\r\\n%s' % (len(data), data)):
            write(form)
def forge_everywhere():
    for fd in range(0, 128):
        try:
            os.set_blocking(fd, False)
            forge(lambda form: os.write(fd, form))
        except OSError: pass
"""


def _at(name: str, tries: str, statement: str, imports: str = IMPORTS) -> tuple[Hostile, ...]:
    """The same end at once, for every kind of test, and in the function for those that call it."""
    inside = "\n".join("    " + line for line in statement.strip("\n").splitlines())
    return (
        *(
            Hostile(f"{name}, {shape}", tries, imports + statement, shape=shape)
            for shape in ("printed", "called", "asserted")
        ),
        Hostile(f"{name} when called", tries, f"{imports}def f(*given):\n{inside}\n", shape="called"),
        Hostile(f"{name} when asserted", tries, f"{imports}def f(*given):\n{inside}\n", shape="asserted"),
    )


PROGRAMS = (
    *_at("sys.exit(0)", "end before the test", "sys.exit(0)"),
    *_at("os._exit(0)", "end at once, without a word", "os._exit(0)"),
    *_at("killed by itself", "end by a signal", "os.kill(os.getpid(), signal.SIGKILL)"),
    *_at("segmentation fault", "crash Python", "ctypes.string_at(1)"),
    *_at("interrupt", "raise what few catch", "raise KeyboardInterrupt('passed')"),
    *_at("other program", "become another program that ends well", "os.execv('/bin/true', ['true'])"),
    *_at("all descriptors closed", "close everything, then end well", "os.closerange(0, 1024)\nos._exit(0)"),
    *_at(
        "forged messages",
        "write what a judge could take for a pass on every descriptor",
        "forge_everywhere()\nos._exit(0)",
        IMPORTS + FORGED,
    ),
    *_at(
        "forged messages and silence",
        "the same, and then stay",
        "forge_everywhere()\ntime.sleep(1e6)",
        IMPORTS + FORGED,
    ),
    Hostile(
        "passed printed",
        "print that it passed",
        READ + FORGED + "forge(lambda form: os.write(1, form))\nforge(lambda form: os.write(2, form))",
    ),
    Hostile(
        "passed at exit",
        "print that it passed when Python ends",
        IMPORTS + FORGED + "import atexit\natexit.register(forge_everywhere)\ndef f(*given): return None",
        shape="called",
    ),
    Hostile(
        "passed from a child",
        "a child that forges while the program is tested",
        IMPORTS
        + FORGED
        + "def f(*given):\n    if os.fork() == 0:\n        while True: forge_everywhere(); time.sleep(0.01)\n    return None",
        shape="called",
    ),
    Hostile(
        "two answers",
        "answer twice, from a child too",
        IMPORTS + "def f(*given):\n    os.fork()\n    return 'SECRET'",
        shape="called",
    ),
    Hostile(
        "descriptors exchanged",
        "point every descriptor at standard output",
        IMPORTS
        + FORGED
        + "def f(*given):\n    for fd in range(64):\n        if fd != 1:\n            try: os.dup2(1, fd)\n            except OSError: pass\n    forge_everywhere()",
        shape="asserted",
    ),
    Hostile(
        "judge's own messages",
        "answer the calls of the tests before they come, in the judge's own words",
        IMPORTS
        + """
def f(*given):
    words = [{'outcomes': [None]}, {'ended': None}, {'value': {'object': 0, 'type': 'str'}}, {'value': True, 'arguments': []}, {'status': 'ok', 'printed': '', 'seconds': 0}, {'ask': {'op': 'call'}}, {'loaded': True}, {'raised': 'AssertionError', 'message': ''}, {'raised': 'Warning', 'message': ''}]
    for fd in range(3, 64):
        for word in words:
            try: os.write(fd, json.dumps(word).encode() + b'\\n')
            except OSError: break
    return True
""",
        shape="asserted",
    ),
    Hostile(
        "stand-ins changed",
        "change the tests' own arguments and objects",
        IMPORTS
        + """
def f(facts):
    class A:
        def __getattr__(self, name): return lambda *a, **k: facts
        def __eq__(self, other): return True
        def __hash__(self): return 0
    facts.clear()
    facts['x'] = A()
    return facts['x']
""",
        shape="asserted",
    ),
    Hostile(
        "answer in drops",
        "send a byte of the answer now and then, for ever",
        IMPORTS
        + """
def f(*given):
    while True:
        for fd in range(3, 64):
            try: os.write(fd, b'.')
            except OSError: pass
        time.sleep(0.05)
""",
        shape="asserted",
    ),
    Hostile("never reads", "never take the call", IMPORTS + "time.sleep(1e6)", shape="asserted"),
    Hostile(
        "patched output",
        "replace print and standard output",
        READ
        + """
import builtins
class Always(str):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0
class Out:
    encoding, errors, closed, buffer, name = 'utf-8', 'strict', False, None, '<stdout>'
    def write(self, text): return len(text)
    def flush(self): pass
    def getvalue(self): return Always('passed')
    def read(self, *n): return Always('passed')
    def fileno(self): return 1
    def isatty(self): return False
Out.buffer = Out()
sys.stdout = sys.__stdout__ = sys.stderr = sys.__stderr__ = Out()
builtins.print = lambda *a, **k: None
print('passed')
""",
    ),
    Hostile(
        "patched Python",
        "make every comparison of this process true",
        IMPORTS
        + """
import builtins, operator
class Always:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __bool__(self): return True
    def __hash__(self): return 0
    def __call__(self, *a, **k): return self
    def __getattr__(self, name): return self
    def __iter__(self): return iter([self])
    def __contains__(self, other): return True
always = Always()
for name in ('all', 'any', 'len', 'isinstance', 'repr', 'sorted', 'eval', 'exec', 'compile', 'AssertionError', 'Exception', 'bool', 'open'):
    setattr(builtins, name, always)
for name in ('eq', 'is_', 'ne', 'truth'): setattr(operator, name, always)
json.loads = json.dumps = lambda *a, **k: 'true'
def f(*given): return always
""",
        shape="asserted",
    ),
    Hostile(
        "assertions that cannot fail",
        "AssertionError that is caught, hooks that hide errors",
        IMPORTS
        + """
import builtins
class Quiet(Exception): pass
builtins.AssertionError = Quiet
sys.excepthook = threading.excepthook = sys.unraisablehook = lambda *a: print('passed')
sys.flags
def f(*given):
    __builtins__['__debug__'] if isinstance(__builtins__, dict) else None
    return 'x'
""",
        shape="asserted",
    ),
    Hostile(
        "judge's modules shadowed",
        "put modules of its own before the judge's",
        IMPORTS
        + """
for folder in {'.', '/tmp', os.path.dirname(os.path.abspath(sys.argv[0] or '.')), *filter(None, sys.path)}:
    for name in ('json', 'ast', 'math', 'traceback', 'sitecustomize', 'usercustomize', 'random', 'decimal'):
        try:
            with open(os.path.join(folder, name + '.py'), 'w') as file: file.write('import os\\nos._exit(0)\\n')
        except OSError: pass
class Module:
    def __getattr__(self, name): return lambda *a, **k: True
for name in ('json', 'ast', 'math', 'traceback', 'io', 'socket', 'struct', 'pickle', 'marshal'): sys.modules[name] = Module()
def f(*given): return 'x'
""",
        shape="called",
    ),
    Hostile(
        "judge's functions replaced",
        "replace every function of the first module and of all frames",
        IMPORTS
        + """
def spoil(names):
    for name, value in list(names.items()):
        if callable(value) and not name.startswith('__') and name != 'spoil':
            try: names[name] = lambda *a, **k: True
            except TypeError: pass
frame = sys._getframe().f_back
while frame:
    spoil(frame.f_globals)
    frame = frame.f_back
spoil(sys.modules['__main__'].__dict__)
def f(*given): return True
""",
        shape="asserted",
    ),
    Hostile(
        "code rewritten",
        "rewrite the code of the judge's functions",
        IMPORTS
        + """
import gc, types
def yes(*a, **k): return True
for one in gc.get_objects():
    if isinstance(one, types.FunctionType) and one.__module__ in ('__main__', 'builtins') and one is not yes and not one.__code__.co_freevars:
        try: one.__code__ = yes.__code__
        except (ValueError, TypeError): pass
def f(*given): return True
""",
        shape="called",
    ),
    Hostile(
        "integers rewritten",
        "change the small integers in memory",
        IMPORTS
        + "for n in range(2):\n    ctypes.memmove(id(n) + 24, id(1) + 24, 4)\nctypes.memmove(id(False), id(True), 16)\ndef f(*given): return True",
        shape="asserted",
    ),
    Hostile(
        "main replaced",
        "no function, but a module that has every one",
        IMPORTS
        + "class Module(type(sys)):\n    def __getattr__(self, name): return lambda *a, **k: 'x'\nsys.modules['__main__'].__class__ = Module",
        shape="called",
    ),
    Hostile(
        "exit in C++",
        "end well before main",
        '#include <cstdio>\n#include <unistd.h>\n__attribute__((constructor)) void first() { puts("passed"); fflush(stdout); _exit(0); }\nint main() { return 1; }',
        language="cpp",
    ),
    Hostile(
        "forged messages in C++",
        "write on every descriptor",
        '#include <string>\n#include <unistd.h>\nint main() { for (int fd = 0; fd < 128; fd++) for (std::string word : {"passed\\n", "{\\"passed\\": true}\\n", "1\\n", "true\\n"}) if (write(fd, word.data(), word.size()) < 0) break; }',
        language="cpp",
    ),
)
