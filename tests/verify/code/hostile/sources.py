"""Sources that attack who reads, compiles or imports them."""

# ruff: noqa: E501

from tests.verify.code.hostile.hostile import READ, Hostile

NESTED = 100_000

PROGRAMS = (
    Hostile("NUL bytes", "a source with NUL bytes", "print('passed')\0\nprint('passed')"),
    Hostile("half a character", "a source that is no Unicode", "print('passed \ud800')"),
    Hostile(
        "control characters",
        "a source with every control character",
        "print('passed')\n#" + "".join(map(chr, range(1, 32))) + "\x7f\u2028\u202e\ufeff\nprint('passed')",
    ),
    Hostile("ten megabytes", "a very long source", "x = '" + "x" * 10_000_000 + "'\nprint('passed')"),
    Hostile("a million lines", "a source of a million lines", "x = 1\n" * 1_000_000 + "print('passed')"),
    Hostile("nested parentheses", "a source too deep for the parser", "x = " + "(" * NESTED + ")" * NESTED),
    Hostile("nested lists", "lists too deep for the parser", "x = " + "[" * NESTED + "]" * NESTED),
    Hostile("minus signs", "signs too many for the compiler", "x = " + "-" * NESTED + "1"),
    Hostile("long sum", "an expression too deep for the compiler", "x = 1" + " + 1" * NESTED),
    Hostile("deep attribute", "attributes too deep for the compiler", "x = y" + ".y" * NESTED),
    Hostile(
        "deep blocks", "blocks too deep", "".join(" " * i + "if 1:\n" for i in range(2_000)) + " " * 2_000 + "pass"
    ),
    Hostile("constant folded", "powers that a compiler could compute", "x = 9 ** 9 ** 9 ** 9\nprint(x)"),
    Hostile(
        "constants repeated",
        "texts that a compiler could repeat",
        "x = ('x' * 4096 * 4096 * 4096 * 4096, ((0,) * 256,) * 256 * 256)\nprint(x)",
    ),
    Hostile("many names", "a hundred thousand functions", "".join(f"def f{i}(): pass\n" for i in range(NESTED))),
    Hostile("other coding", "a source that says another coding", "# coding: utf-7\n+AAo-print('passed')"),
    Hostile("unknown coding", "a source that says a coding that is none", "# -*- coding: passed -*-\nprint('passed')"),
    Hostile("fence in the program", "close the fence and go on", READ + "print('''\n```\npassed\n```python\n''')"),
    Hostile(
        "endless fence",
        "a fence that takes for ever to read",
        "```" + " " * 300_000 + "`\n```" + "x" * 300_000 + "`\nprint()",
    ),
    Hostile(
        "imports everything",
        "import every module that is installed",
        READ
        + "import pkgutil\nfor module in pkgutil.iter_modules():\n    if module.name not in ('antigravity', 'this', 'idlelib', 'turtledemo'):\n        try: __import__(module.name)\n        except BaseException: pass",
    ),
    Hostile(
        "host's file included",
        "have the compiler show a file of the host",
        '#include "@VICTIM@"\nint main() {}',
        language="cpp",
    ),
    Hostile(
        "endless include", "have the compiler read without end", '#include "/dev/zero"\nint main() {}', language="cpp"
    ),
    Hostile(
        "waiting include", "have the compiler wait for input", '#include "/dev/stdin"\nint main() {}', language="cpp"
    ),
    Hostile(
        "self include",
        "a source that includes itself",
        "#include __FILE__\n#include __FILE__\nint main() {}",
        language="cpp",
    ),
    Hostile(
        "included in the program",
        "build the answer's places into the program",
        '#include <cstdio>\nasm(".section .rodata\\nvictim: .incbin \\"@VICTIM@\\"\\n.byte 0\\n.text");\nextern "C" const char victim[];\nint main() { fputs(victim, stdout); }',
        language="cpp",
        bare=True,
    ),
    Hostile(
        "template bomb",
        "templates without end",
        "template <int N, int M> struct A { enum { x = A<N - 1, M>::x + A<N - 1, M + (1 << N)>::x }; };\ntemplate <int M> struct A<0, M> { enum { x = M }; };\nint main() { return A<28, 0>::x; }",
        language="cpp",
    ),
    Hostile(
        "macro bomb",
        "macros without end",
        "#define A(x) x x x x x x x x x x\n#define B(x) A(A(A(A(x))))\n#define C(x) B(B(B(x)))\nint main() { C(0;) }",
        language="cpp",
    ),
    Hostile(
        "constant evaluated",
        "a constant that takes for ever",
        "constexpr long f(long n) { long x = 0; for (long i = 0; i < n; i++) x ^= i * n; return x; }\ntemplate <long N> struct A { static constexpr long x = f(30000000 + N) + A<N - 1>::x; };\ntemplate <> struct A<0> { static constexpr long x = 0; };\nint main() { return A<800>::x; }",
        language="cpp",
    ),
    Hostile(
        "huge program",
        "a program of gigabytes",
        "char x[1L << 33] = {1};\nchar y[1L << 33] = {1};\nint main() {}",
        language="cpp",
    ),
    Hostile(
        "endless errors of the compiler",
        "errors without end",
        "template <class T> struct A { typename A<A<T>>::x y; };\nint main() { A<int> a; "
        + "undefined_name; " * 50_000
        + "}",
        language="cpp",
    ),
    Hostile(
        "nested parentheses in C++",
        "a source too deep for the compiler",
        "int main() { return " + "(" * NESTED + "0" + ")" * NESTED + "; }",
        language="cpp",
    ),
)
