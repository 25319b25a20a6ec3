"""Tests of single functions: HumanEval and HumanEval+, MBPP and MBPP+, CRUXEval's inputs. All are Python that asserts."""

from __future__ import annotations

import builtins
import keyword
import re
from typing import Any

from learnalign.verify.code.cases import Assertions, BadTests, Cases
from learnalign.verify.code.shapes.reading import Row, listed, name_of, text_of

_CALLED = re.compile(r"(?<![\w.])([A-Za-z_]\w*)\s*\(")
_NOT_TESTED = {*keyword.kwlist, *dir(builtins), "check", "candidate", "Counter", "isclose"}

# CRUXEval's f, whose input is asked for, as the program finds it: it only writes down what it is called with.
_RECORDER = "def f(*args, **kwargs):\n    return repr((args, kwargs))\n"
# The row's own f is then called with that; for as long as CRUXEval's grader lets it, since the arguments are the model's.
_CALLER = """\
import ast as _ast, signal as _signal

def _called(text):
    assert len(text) < 100_000
    args, kwargs = _ast.literal_eval(text)
    _signal.signal(_signal.SIGVTALRM, _late)
    _signal.setitimer(_signal.ITIMER_VIRTUAL, 3)
    try:
        return f(*args, **kwargs)
    finally:
        _signal.setitimer(_signal.ITIMER_VIRTUAL, 0)

def _late(*_):
    raise TimeoutError("f takes longer than 3 s")

"""


def read_humaneval(row: Row) -> Cases:
    """prompt, entry_point, and test, which defines check(candidate). What the prompt has before the function is the prelude."""
    test = _code(row["test"], "test")
    function = name_of(row["entry_point"])
    if not re.search(r"^def check\(", test, re.MULTILINE):
        raise BadTests("test does not define check(candidate)")
    prompt = text_of(row.get("prompt") or "", "prompt")
    helpers = _before(prompt, function)
    # Tests that use a helper of the prompt use the prompt's, not what a program makes of it.
    asserted = Assertions((f"check({function})",), f"{helpers}\n{test}")
    return Cases(assertions=asserted, entry_point=function, prelude=helpers)


def _before(prompt: str, function: str) -> str:
    """Imports and helpers that stand before the function; of a prompt without it, the imports."""
    if found := re.search(rf"^(?:async )?def {re.escape(function)}\b", prompt, re.MULTILINE):
        return prompt[: found.start()]
    return "".join(f"{line}\n" for line in prompt.split("\n") if re.match(r"import |from \w[\w.]* import ", line))


def read_mbpp(row: Row) -> Cases:
    """test_list, with test_setup_code or test_imports; of MBPP+, `test` in their place. `code` tells which function."""
    asserts = tuple(text for one in listed(row["test_list"], "test_list") if (text := text_of(one, "a test")).strip())
    setup = [*listed(row.get("test_imports"), "test_imports"), row.get("test_setup_code") or ""]
    whole = row.get("test")
    code = (_code(whole, "test"),) if whole else asserts
    if not code:
        raise BadTests("no tests")
    function = row.get("entry_point") or _tested(asserts or code, row.get("code"))
    joined = "\n".join(text for line in setup if (text := text_of(line, "the tests' setup")).strip())
    return Cases(assertions=Assertions(code, joined), entry_point=name_of(function))


def _tested(asserts: tuple[str, ...], solution: Any) -> str:
    """The function that every assertion calls: one that the row's solution defines, else one that is not Python's own."""
    called = [dict.fromkeys(_CALLED.findall(text)) for text in asserts]
    common = [name for name in called[0] if all(name in names for names in called)]
    defined = re.findall(r"^def (\w+)", solution, re.MULTILINE) if isinstance(solution, str) else []
    tested = [name for name in common if name in defined] or [name for name in common if name not in _NOT_TESTED]
    if not tested:
        raise BadTests("the tests call no function in common; name it in a column entry_point")
    return tested[0]


def read_cruxeval_input(row: Row) -> Cases:
    """code, which defines f, and output: the program's `answer()` calls f so that it returns the output.

    In the program, f only writes down its arguments; the row's own f is called with them by the tests.
    """
    code, output = _code(row["code"], "code"), text_of(row["output"], "output").strip()
    if not output:
        raise BadTests("no output")
    asserted = Assertions((f"assert _called(answer()) == ({output})",), _CALLER + code)
    return Cases(assertions=asserted, entry_point="answer", prelude=_RECORDER)


def _code(value: Any, name: str) -> str:
    text = text_of(value, name)
    if not text.strip():
        raise BadTests("no tests" if name == "test" else f"no {name}")
    return text
