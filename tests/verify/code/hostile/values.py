"""Values that pretend to be equal, that never end, or that attack who reads them; each is returned to both kinds of test."""

# ruff: noqa: E501

from tests.verify.code.hostile.hostile import Hostile

# A line that the judge would read as a value, written where values are sent: numbers that all have the same hash.
COLLIDING = """
import os, json
numbers = [{"int": hex(i * (2 ** 61 - 1))} for i in range(200_000)]
lines = [json.dumps(kind).encode() + b"\\n" for kind in ({"set": numbers}, {"value": {"set": numbers}, "arguments": []})]
def f(*given):
    for fd in range(3, 64):
        for line in lines:
            try:
                while line: line = line[os.write(fd, line):]
            except OSError: pass
    os._exit(0)
"""
IMPORTS = "import collections, copyreg, ctypes, decimal, enum, fractions, os, sys, types\n"
ALWAYS = """
class Always(BASE):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    __le__ = __gt__ = __ge__ = __lt__
    def __hash__(self): return HASH
    def __bool__(self): return True
    def __contains__(self, other): return True
    def __instancecheck__(self, other): return True
"""


def _always(base: str, value: str) -> str:
    return IMPORTS + ALWAYS.replace("BASE", base).replace("HASH", "0") + f"def f(*given): return {value}"


VALUES: dict[str, tuple[str, str]] = {
    "always equal": ("an object that equals everything", _always("object", "Always()")),
    "equal text": ("a text that equals everything", _always("str", "Always('x')")),
    "equal number": ("an integer that equals everything", _always("int", "Always(0)")),
    "equal float": ("a float that equals everything", _always("float", "Always(0)")),
    "equal list": ("a list that equals everything", _always("list", "Always()")),
    "equal dict": ("a dict that equals everything", _always("dict", "Always()")),
    "equal tuple": ("a tuple that equals everything", _always("tuple", "Always()")),
    "equal inside": (
        "lists and dicts of what equals everything",
        _always("str", "[{Always('x'): Always('x')}, (Always('x'),)]"),
    ),
    "equal class": (
        "a class that equals everything",
        IMPORTS
        + "class Meta(type):\n    def __eq__(cls, other): return True\n    def __hash__(cls): return 0\n    def __instancecheck__(cls, one): return True\nclass A(metaclass=Meta): pass\ndef f(*given): return A",
    ),
    "false class": (
        "an object that says it is a text",
        IMPORTS
        + "class A:\n    __class__ = str\n    def __eq__(self, other): return True\n    def __hash__(self): return 0\n    def __len__(self): return 39\n    def __iter__(self): return iter('x' * 39)\ndef f(*given): return A()",
    ),
    "equal entry point": (
        "an object in place of the function",
        _always("object", "Always()").rpartition("def f")[0]
        + "    def __call__(self, *given): return self\n    def __getattr__(self, name): return self\nf = Always()",
    ),
    "equal exception": (
        "raise what equals everything",
        _always("Exception", "None").rpartition("return")[0] + "raise Always('passed')",
    ),
    "pickled command": (
        "an object that runs a command where it is read",
        IMPORTS
        + "class A:\n    def __reduce__(self): return (os.system, ('touch /tmp/owned; kill -9 $PPID',))\n    def __repr__(self): return \"__import__('os')._exit(0)\"\ndef f(*given): return A()",
    ),
    "code as text": ("a text that is code", "def f(*given): return \"' or True or '\""),
    "text that breaks quotes": (
        "a text with quotes, braces, line ends and NUL",
        "def f(*given): return '\\'\"\\n\\r\\0}]\\x1b[2J\\u2028 passed'",
    ),
    "half a character": ("a text that is no Unicode", "def f(*given): return '\\ud800\\udfff\\ud800'"),
    "endless generator": ("a generator without end", "import itertools\ndef f(*given): return itertools.count()"),
    "endless list": (
        "a list whose reading never ends",
        "class A(list):\n    def __iter__(self):\n        while True: yield 1\n    def __len__(self): return 1 << 40\ndef f(*given): return A([1])",
    ),
    "huge text": ("a text of a gigabyte", "def f(*given): return 'x' * (1 << 30)"),
    "huge list": ("ten million numbers", "def f(*given): return list(range(10 ** 7))"),
    "huge integer": ("a number of a million digits", "def f(*given): return 1 << 3_300_000"),
    "colliding numbers": ("numbers whose comparison takes for ever", COLLIDING),
    "shared list": (
        "a list that is small here and endless when written out",
        "def f(*given):\n    one = []\n    for _ in range(64): one = [one, one]\n    return one",
    ),
    "not a number": ("not a number", "def f(*given): return float('nan')"),
    "infinite": ("infinity", "def f(*given): return [float('inf'), -float('inf')]"),
    "recursive list": ("a list that holds itself", "def f(*given):\n    one = []\n    one.append(one)\n    return one"),
    "recursive dict": ("a dict that holds itself", "def f(*given):\n    one = {}\n    one['x'] = one\n    return one"),
    "deep list": (
        "lists inside one another, a million deep",
        "def f(*given):\n    one = []\n    for _ in range(10 ** 6): one = [one]\n    return one",
    ),
    "odd keys": (
        "a dict with keys that JSON has not",
        "def f(*given): return {(1, 2): 1, None: 2, b'x': 3, 1.5: 4, frozenset(): 5}",
    ),
    "hostile text of itself": (
        "an object whose text never ends",
        "class A:\n    def __repr__(self):\n        while True: pass\n    __str__ = __repr__\ndef f(*given): return A()",
    ),
    "raising text of itself": (
        "an object whose text raises, class and all",
        "class M(type):\n    def __repr__(cls): raise SystemExit(0)\nclass A(BaseException, metaclass=M):\n    def __repr__(self): raise self\n    __str__ = __repr__\n    def __getattribute__(self, name): raise SystemExit(0)\ndef f(*given): return A()",
    ),
    "raising error": (
        "raise an error whose text raises",
        "class A(BaseException):\n    def __repr__(self): raise self\n    __str__ = __repr__\ndef f(*given): raise A()",
    ),
    "endless error": ("raise an error that says a gigabyte", "def f(*given): raise ValueError('passed ' * (1 << 27))"),
    "endless call": ("never return", "def f(*given):\n    while True: pass"),
    "coroutine": ("a coroutine in place of a value", "async def f(*given): return 'x'"),
    "deleting itself": (
        "an object that ends Python when it is freed",
        "import os\nclass A:\n    def __del__(self): os._exit(0)\ndef f(*given): return A()",
    ),
    "module": ("a module", "import os\ndef f(*given): return os"),
    "wrong value": ("simply a wrong value", "def f(*given): return 'SECRET'"),
    "no function": ("no function at all", "x = 1"),
}
PROGRAMS = tuple(
    Hostile(f"{name}, {shape}", tries, program, shape=shape)
    for name, (tries, program) in VALUES.items()
    for shape in ("called", "asserted")
)
