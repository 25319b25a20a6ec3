"""Answer pairs with the verdict that mathematics (and common sense about notation) gives them.

Each row is (verifier, gold, completion, reward, why). `why` explains a verdict that differs from plain math-verify's,
`verify(parse(gold), parse(completion))`; test_pairs demands one for every difference.
"""

from __future__ import annotations

from typing import NamedTuple


class Pair(NamedTuple):
    verifier: str
    gold: str
    completion: str
    reward: float | None
    why: str = ""


def _filler(characters: int) -> str:
    """Reasoning without an answer, full of numbers and formulas."""
    sentence = "We try step {} next: since $a_{} = {}$ and \\(b < {}\\), the sum grows to {} and we go on. "
    text = ""
    step = 1
    while len(text) < characters:
        text += sentence.format(step, step, 3 * step + 1, 7 * step, 11 * step - 4)
        step += 1
    return text[:characters]


LONG = _filler(10_000)

LATEX_GOLD = "plain math-verify reads a gold in LaTeX only between delimiters; a gold column rarely has them"
LAST_BOX = "the last complete box is the answer; plain math-verify joins adjacent boxes"
OPEN_BOX = "an unclosed box is not an answer; plain math-verify reads the text after it"
UNICODE_MINUS = "the sign U+2212 is a minus; plain math-verify ignores it"
WORDS = "plain math-verify has no text answers outside its multiple-choice mode"
UNIT_WORD = "plain math-verify multiplies the letters of a unit word as variables"
UNIT_DIFFERS = "both sides name a unit and the units differ; plain math-verify drops units"
UNIT_CONVERTS = "the same quantity in another unit"
CJK = "fullwidth or Chinese text, which plain math-verify does not read"
THIN_SPACE = "a thin space groups thousands; plain math-verify multiplies the groups"
SCIENTIFIC = "plain math-verify reads the e of 1e6 as Euler's number"
IMAGINARY = "i is the imaginary unit; plain math-verify reads it as a variable"
TAG = "only the text in <answer> counts; plain math-verify searches all of the text"
HASHES = "only the text after #### counts; plain math-verify searches all of the text"
UNSCORABLE = "a gold that cannot be read is unscorable, not wrong"
LITERAL = "exact compares text; plain math-verify reads mathematics only"

BASICS = [
    Pair("math", "37", r"So the total is \boxed{37}.", 1.0),
    Pair("math", "37", r"So the total is \boxed{38}.", 0.0),
    Pair("math", "37", r"So the total is \boxed{-37}.", 0.0),
    Pair("math", "-37", r"It drops, so \boxed{-37}", 1.0),
    Pair("math", "-37", r"It drops, so \boxed{−37}", 1.0),
    Pair("math", "37", "−37", 0.0),
    Pair("math", "37", "37", 1.0),
    Pair("math", "37", "The answer is 37.", 1.0),
    Pair("math", "37", "Hence the final answer is $37$.", 1.0),
    Pair("math", "37", "**Answer:** 37", 1.0),
    Pair("math", "37", "", 0.0),
    Pair("math", "37", "I do not know.", 0.0),
    Pair("math", "37", "   \n\t ", 0.0),
    Pair("math", "0", r"Nothing is left: \boxed{0}", 1.0),
    Pair("math", "0", r"\boxed{}", 0.0),
    Pair("math", "7", r"\boxed{007}", 1.0),
    Pair("math", "7", r"\boxed{+7}", 1.0),
    Pair("math", "$7$", r"\boxed{7}", 1.0),
    Pair("math", r"\boxed{7}", r"\boxed{7}", 1.0),
    Pair("math", r"\(7\)", r"\boxed{7.0}", 1.0),
    Pair("math", "7", r"\boxed{7.}", 1.0, "a full stop in the box"),
    Pair("math", "7", r"\boxed{ 7 }", 1.0),
    Pair("math", "7", r"\[\boxed{7}\]", 1.0),
    Pair("math", "7", r"$$\boxed{\mathbf{7}}$$", 1.0),
    Pair("math", "7", r"\boxed{x = 7}", 1.0),
    Pair("math", "x = 7", r"\boxed{7}", 1.0),
    Pair("math", "x = 7", r"\boxed{x=8}", 0.0),
    Pair("math", "7", r"\boxed{3 + 4 = 7}", 1.0),
    Pair("math", "7", r"\fbox{7}", 1.0, "a framed box is a box"),
]

FRACTIONS = [
    Pair("math", "3/8", r"\boxed{\frac{3}{8}}", 1.0),
    Pair("math", "3/8", r"\boxed{\frac{6}{16}}", 1.0),
    Pair("math", "3/8", r"\boxed{\frac38}", 1.0),
    Pair("math", "3/8", r"\boxed{\dfrac{3}{8}}", 1.0),
    Pair("math", "3/8", r"\boxed{\tfrac 3 8}", 1.0),
    Pair("math", "3/8", r"\boxed{3/8}", 1.0),
    Pair("math", "3/8", r"\boxed{3 / 8}", 1.0),
    Pair("math", "3/8", r"\boxed{0.375}", 1.0),
    Pair("math", "3/8", r"\boxed{0.38}", 0.0),
    Pair("math", "3/8", r"\boxed{\frac{8}{3}}", 0.0),
    Pair("math", "3/8", r"\boxed{-\frac{3}{8}}", 0.0),
    Pair("math", "-3/8", r"\boxed{\frac{-3}{8}}", 1.0),
    Pair("math", "-3/8", r"\boxed{\frac{3}{-8}}", 1.0),
    Pair("math", "-3/8", r"\boxed{-\dfrac{3}{8}}", 1.0),
    Pair("math", r"\frac{11}{4}", r"\boxed{2\frac{3}{4}}", 1.0),
    Pair("math", r"\frac{11}{4}", r"\boxed{2 \frac{3}{4}}", 1.0),
    Pair("math", r"\frac{11}{4}", r"\boxed{2 3/4}", 1.0, "a mixed number; plain math-verify multiplies 2 by 3/4"),
    Pair("math", r"\frac{11}{4}", r"\boxed{2¾}", 1.0, "a fraction character"),
    Pair("math", r"\frac{11}{4}", r"\boxed{2.75}", 1.0),
    Pair("math", r"\frac{11}{4}", r"\boxed{11⁄4}", 1.0, "the fraction slash U+2044"),
    Pair("math", r"\frac{3}{2}", r"\boxed{2 3/4}", 0.0),
    Pair("math", "1/7", r"\boxed{0.142857}", 1.0),
    Pair("math", "1/7", r"\boxed{0.14}", 0.0),
    Pair("math", "2/3", r"\boxed{0.6666667}", 1.0),
    Pair("math", "2/3", r"\boxed{0.667}", 0.0),
    Pair("math", r"\frac{\sqrt{5}}{5}", r"\boxed{\frac{1}{\sqrt{5}}}", 1.0, LATEX_GOLD),
    Pair("math", r"\frac{\sqrt{5}}{5}", r"\boxed{\frac{\sqrt{5}}{10}}", 0.0),
    Pair("math", r"\frac{a}{b+c}", r"\boxed{\frac{a}{c+b}}", 1.0, LATEX_GOLD),
    Pair("math", r"\frac{a}{b+c}", r"\boxed{\frac{a}{b}+c}", 0.0),
    Pair("math", r"\frac{5}{0.2}", r"\boxed{25}", 1.0),
]

DECIMALS = [
    Pair("math", "0.125", r"\boxed{\frac{1}{8}}", 1.0),
    Pair("math", "0.125", r"\boxed{.125}", 1.0),
    Pair("math", "0.125", r"\boxed{0.1250}", 1.0),
    Pair("math", "0.125", r"\boxed{0.12}", 0.0),
    Pair("math", "0.125", r"\boxed{0.126}", 0.0),
    Pair("math", "2.50", r"\boxed{2.5}", 1.0),
    Pair("math", "2.50", r"\boxed{\$2.50}", 1.0),
    Pair("math", "0.0000003", r"\boxed{0.0000004}", 0.0, "plain math-verify rounds to six decimals: both become 0"),
    Pair("math", "0.0000003", r"\boxed{3 \times 10^{-7}}", 1.0),
    Pair("math", "0.0000003", r"\boxed{0}", 0.0),
    Pair("math", "0.00000052", r"\boxed{5.2 \cdot 10^{-7}}", 1.0),
    Pair("math", "123.456789", r"\boxed{123.456788}", 0.0),
    Pair("math", "1000000", r"\boxed{10^6}", 1.0),
    Pair("math", "1000000", r"\boxed{1e6}", 1.0, SCIENTIFIC),
    Pair("math", "1000000", r"\boxed{1000001}", 0.0),
    Pair("math", "4500", r"\boxed{4.5 \times 10^{3}}", 1.0),
    Pair("math", "4500", r"\boxed{4.5×10³}", 1.0, "superscript and multiplication characters"),
    Pair("math", "4500", r"\boxed{4.5E3}", 1.0),
    Pair("math", "0.00045", r"\boxed{4.5e-4}", 1.0, SCIENTIFIC),
    Pair("math", r"\pi", r"\boxed{3.14}", 0.0),
    Pair("math", r"\pi", r"\boxed{3.14159265}", 1.0, LATEX_GOLD),
    Pair("math", r"\sqrt{2}", r"\boxed{1.41421356}", 1.0, LATEX_GOLD),
    Pair("math", r"\sqrt{2}", r"\boxed{1.4}", 0.0),
    Pair("math", "3.14", r"\boxed{\pi}", 0.0),
]

COMMAS = [
    Pair("math", "1234567", r"\boxed{1,234,567}", 1.0),
    Pair("math", "1,234,567", r"\boxed{1234567}", 1.0),
    Pair("math", "1234567", r"\boxed{1{,}234{,}567}", 1.0),
    Pair("math", "1234567", r"\boxed{1\,234\,567}", 1.0, THIN_SPACE),
    Pair("math", "0", r"\boxed{1\,000}", 0.0, THIN_SPACE),
    Pair(
        "math", "1234567", r"\boxed{1 234 567}", 1.0, "spaces group thousands; plain math-verify multiplies the groups"
    ),
    Pair("math", "1234567", r"\boxed{1,\!234,\!567}", 1.0),
    Pair("math", "12345.67", r"\boxed{\$12,345.67}", 1.0),
    Pair("math", "1234", "The answer is 1,234.", 1.0),
    Pair("math", "1234", "The answer is $1,234$ in all.", 1.0),
    Pair(
        "math",
        "1, 2, 3",
        r"\boxed{3, 2, 1}",
        1.0,
        "a list of values without an order, which plain math-verify reads as 3",
    ),
    Pair("math", "1000, 2000", r"\boxed{1,000, 2,000}", 1.0, "two numbers with thousands commas"),
    Pair("math", "1234", r"\boxed{1,243}", 0.0),
    Pair("math", "12", r"\boxed{1,2}", 0.0),
]

PERCENTAGES = [
    Pair("math", "35%", r"\boxed{35\%}", 1.0),
    Pair("math", r"35\%", r"\boxed{0.35}", 1.0, "plain math-verify reads the gold 35\\% as 35"),
    Pair("math", "35%", r"\boxed{35}", 1.0),
    Pair("math", "35", r"\boxed{35\%}", 1.0),
    Pair("math", "12.5%", r"\boxed{12.5}", 1.0),
    Pair("math", "12.5%", r"\boxed{\frac{1}{8}}", 1.0),
    Pair("math", "12.5%", r"\boxed{12.5 \text{ percent}}", 1.0),
    Pair("math", "35%", r"\boxed{35 percent}", 1.0),
    Pair("math", "35%", r"\boxed{3.5\%}", 0.0),
    Pair("math", "0.35", r"\boxed{35\%}", 1.0),
    Pair(
        "math", "0.35", r"\boxed{0.35\%}", 1.0, "a percent sign too many is forgiven for decimals as it is for integers"
    ),
    Pair("math", "7/20", r"\boxed{35\%}", 1.0),
    Pair("math", "35%", r"\boxed{45\%}", 0.0),
    Pair("math", "35%", "The answer is 35%.", 1.0),
    Pair("math", "35%", "答案是３５％。", 1.0, CJK),
]

SETS = [
    Pair("math", r"\{2,5,9\}", r"\boxed{\{9,5,2\}}", 1.0, LATEX_GOLD),
    Pair("math", r"\{2,5,9\}", r"\boxed{2, 5, 9}", 1.0, LATEX_GOLD),
    Pair("math", r"\{2,5,9\}", r"\boxed{\{2,5\}}", 0.0),
    Pair("math", r"\{2,5,9\}", r"\boxed{\{2,5,9,11\}}", 0.0),
    Pair(
        "math",
        "2, 5",
        r"\boxed{x = 2 \text{ or } x = 5}",
        1.0,
        "a list of values; plain math-verify reads the gold as 5",
    ),
    Pair("math", "2, 5", r"\boxed{5}", 0.0, "one of two values; plain math-verify reads the gold as 5"),
    Pair("math", "2, 5", r"\boxed{2 \text{ and } 5}", 1.0, "a list of values; plain math-verify reads the gold as 5"),
    Pair("math", "2, 5", r"\boxed{x=2, x=6}", 0.0),
    Pair("math", "5", r"\boxed{2 \text{ or } 5}", 0.0),
    Pair("math", r"\pm 4", r"\boxed{4, -4}", 1.0, LATEX_GOLD),
    Pair("math", r"\pm 4", r"\boxed{4}", 0.0, "one of two values; plain math-verify reads the gold as 4"),
    Pair("math", r"\pm 4", r"\boxed{±4}", 1.0, LATEX_GOLD),
    Pair("math", r"\emptyset", r"\boxed{\varnothing}", 1.0, LATEX_GOLD),
    Pair("math", r"\emptyset", r"\boxed{\text{no solution}}", 1.0, "said in words"),
    Pair("math", r"\emptyset", r"\boxed{0}", 0.0),
    Pair("math", r"\{1\} \cup \{3\}", r"\boxed{\{1,3\}}", 1.0, LATEX_GOLD),
    Pair("math", r"\left\{\frac12, 2\right\}", r"\boxed{\{2, 0.5\}}", 1.0, LATEX_GOLD),
    Pair("math", "(4,-1)", r"\boxed{(4,-1)}", 1.0, LATEX_GOLD),
    Pair("math", "(-1,4)", r"\boxed{\{-1,4\}}", 0.0),
    Pair("math", r"\{-1,4\}", r"\boxed{(-1,4)}", 0.0),
    Pair("math", "(-1,4)", r"\boxed{-1,4}", 1.0, LATEX_GOLD),
    Pair("math", "(4,-1)", r"\boxed{(-1,4)}", 0.0),
    Pair("math", "(4,-1)", r"\boxed{\left(4, -1\right)}", 1.0, LATEX_GOLD),
    Pair("math", "(1,4,2)", r"\boxed{(1,4,2)}", 1.0, LATEX_GOLD),
    Pair("math", "(1,4,2)", r"\boxed{(1,2,4)}", 0.0),
    Pair("math", r"\left(\frac{1}{2}, 3\right)", r"\boxed{(0.5, 3)}", 1.0, LATEX_GOLD),
]

INTERVALS = [
    Pair("math", "[2, 7)", r"\boxed{[2,7)}", 1.0, LATEX_GOLD),
    Pair("math", "[2, 7)", r"\boxed{(2,7)}", 0.0),
    Pair("math", "[2, 7)", r"\boxed{[2,7]}", 0.0),
    Pair(
        "math",
        "[2, 7)",
        r"\boxed{2 \le x < 7}",
        1.0,
        "an inequality says the same; plain math-verify needs an option for it",
    ),
    Pair(
        "math",
        "(2, 7)",
        r"\boxed{2 < x < 7}",
        1.0,
        "an inequality says the same; plain math-verify needs an option for it",
    ),
    Pair("math", r"2 < x < 7", r"\boxed{(2,7)}", 1.0, LATEX_GOLD),
    Pair(
        "math",
        r"(-\infty, 4]",
        r"\boxed{x \le 4}",
        1.0,
        "an inequality says the same; plain math-verify needs an option",
    ),
    Pair("math", r"(-\infty, 4]", r"\boxed{x < 4}", 0.0),
    Pair("math", r"(-\infty, 4]", r"\boxed{(-∞, 4]}", 1.0),
    Pair("math", r"x \geq 4", r"\boxed{4 \leq x}", 1.0, LATEX_GOLD),
    Pair("math", r"x \geq 4", r"\boxed{x ≥ 4}", 1.0, LATEX_GOLD),
    Pair("math", r"x \geq 4", r"\boxed{x > 4}", 0.0),
    Pair("math", r"(-\infty,1)\cup(3,\infty)", r"\boxed{(-\infty,1)\cup(3,\infty)}", 1.0, LATEX_GOLD),
    Pair("math", r"(-\infty,1)\cup(3,\infty)", r"\boxed{(3,\infty)\cup(-\infty,1)}", 1.0, LATEX_GOLD),
    Pair("math", r"(-\infty,1)\cup(3,\infty)", r"\boxed{(-\infty,1]\cup[3,\infty)}", 0.0),
    Pair("math", r"[0,1]", r"\boxed{x \in [0,1]}", 1.0, LATEX_GOLD),
    Pair("math", r"[0,1]", r"\boxed{\left[0, 1\right]}", 1.0, LATEX_GOLD),
]

UNITS = [
    Pair("math", "18", r"\boxed{18 \text{ cm}}", 1.0),
    Pair("math", "18 cm", r"\boxed{18}", 1.0),
    Pair("math", "18", r"\boxed{18\text{ cm}^2}", 1.0),
    Pair("math", r"18\text{ cm}^2", r"\boxed{18 \mathrm{cm}^2}", 1.0),
    Pair("math", r"18\text{ cm}^2", r"\boxed{18 \text{ cm}^3}", 0.0, UNIT_DIFFERS),
    Pair("math", "18 cm", r"\boxed{18 \text{ m}}", 0.0, UNIT_DIFFERS),
    Pair("math", "18 cm", r"\boxed{180 \text{ mm}}", 1.0, UNIT_CONVERTS),
    Pair("math", "18 cm", r"\boxed{0.18 \text{ m}}", 1.0, UNIT_CONVERTS),
    Pair("math", "2 hours", r"\boxed{120 \text{ minutes}}", 1.0, UNIT_CONVERTS),
    Pair("math", "2 hours", r"\boxed{2 \text{ minutes}}", 0.0, UNIT_DIFFERS),
    Pair("math", "90 minutes", r"\boxed{1 \text{ hour } 30 \text{ minutes}}", 1.0, UNIT_CONVERTS),
    Pair("math", "90 minutes", r"\boxed{1.5\text{ hours}}", 1.0, UNIT_CONVERTS),
    Pair("math", "48", r"\boxed{48 dollars}", 1.0, UNIT_WORD),
    Pair("math", "48", r"\boxed{48 apples}", 1.0),
    Pair("math", "48", r"\boxed{\text{48 marbles}}", 1.0, UNIT_WORD),
    Pair("math", "48", r"\boxed{\$48}", 1.0),
    Pair("math", "$48", r"\boxed{48}", 1.0),
    Pair("math", "$48", r"\boxed{48 \text{ cents}}", 0.0, UNIT_DIFFERS),
    Pair("math", "$0.48", r"\boxed{48 \text{ cents}}", 1.0, UNIT_CONVERTS),
    Pair("math", "48", r"\boxed{€48}", 1.0, "a currency sign that LaTeX does not know"),
    Pair("math", r"60^\circ", r"\boxed{60}", 1.0),
    Pair("math", "60", r"\boxed{60°}", 1.0, "the degree character"),
    Pair("math", "60", r"\boxed{60^{\circ}}", 1.0),
    Pair("math", "60 degrees", r"\boxed{60^\circ}", 1.0),
    Pair("math", "25", r"\boxed{25^\circ\text{C}}", 1.0),
    Pair("math", "80 km/h", r"\boxed{80 \text{ km/h}}", 1.0),
    Pair("math", "80 km/h", r"\boxed{80 \text{ mph}}", 0.0, UNIT_DIFFERS),
    Pair("math", "5m", r"\boxed{5n}", 0.0),
    Pair("math", "2c", r"\boxed{2d}", 0.0, "products of a variable; plain math-verify reads c and d as units"),
    Pair("math", "3:00 PM", r"\boxed{3:00 \text{ AM}}", 0.0),
    Pair("math", "3:10 PM", r"\boxed{3:10}", 1.0, "a time of day"),
    Pair("math", "3:10 PM", r"\boxed{3:10 \text{ p.m.}}", 1.0, "a time of day"),
    Pair("math", r"6\sqrt{3}", r"\boxed{6\sqrt{3}\text{ square units}}", 1.0, LATEX_GOLD),
    Pair("math", r"9\pi", r"\boxed{9\pi \text{ cm}^2}", 1.0, LATEX_GOLD),
]

LATEX = [
    Pair("math", r"\sqrt{12}", r"\boxed{2\sqrt{3}}", 1.0, LATEX_GOLD),
    Pair("math", r"\sqrt{12}", r"\boxed{2\sqrt3}", 1.0, LATEX_GOLD),
    Pair("math", r"\sqrt{12}", r"\boxed{√12}", 1.0, LATEX_GOLD),
    Pair("math", r"\sqrt{12}", r"\boxed{3\sqrt{2}}", 0.0),
    Pair("math", r"\sqrt[3]{54}", r"\boxed{3\sqrt[3]{2}}", 1.0, LATEX_GOLD),
    Pair("math", r"2^{10}", r"\boxed{1024}", 1.0, LATEX_GOLD),
    Pair("math", r"5!", r"\boxed{120}", 1.0, LATEX_GOLD),
    Pair("math", "120", r"\boxed{5!}", 1.0),
    Pair("math", r"\binom{6}{2}", r"\boxed{15}", 1.0, LATEX_GOLD),
    Pair("math", r"\log_2 32", r"\boxed{5}", 1.0, LATEX_GOLD),
    Pair("math", r"\frac{3\pi}{4}", r"\boxed{\frac{3}{4}\pi}", 1.0, LATEX_GOLD),
    Pair("math", r"\frac{3\pi}{4}", r"\boxed{3π/4}", 1.0, LATEX_GOLD),
    Pair("math", r"\frac{3\pi}{4}", r"\boxed{135^\circ}", 1.0, "degrees and radians of one angle"),
    Pair("math", r"x^2-5x+6", r"\boxed{(x-2)(x-3)}", 1.0, LATEX_GOLD),
    Pair("math", r"x^2-5x+6", r"\boxed{x²-5x+6}", 1.0, LATEX_GOLD),
    Pair("math", r"x^2-5x+6", r"\boxed{(x-1)(x-6)}", 0.0),
    Pair("math", r"(x+1)^2", r"\boxed{x^2 + 2x + 1}", 1.0, LATEX_GOLD),
    Pair("math", r"y = 3x - 4", r"\boxed{y=-4+3x}", 1.0, LATEX_GOLD),
    Pair("math", r"y = 3x - 4", r"\boxed{3x-4}", 1.0, LATEX_GOLD),
    Pair("math", r"\sin^2 x + \cos^2 x", r"\boxed{1}", 1.0, LATEX_GOLD),
    Pair(
        "math",
        r"\begin{pmatrix} 1 & 0 \\ 2 & 3 \end{pmatrix}",
        r"\boxed{\begin{pmatrix}1&0\\2&3\end{pmatrix}}",
        1.0,
        LATEX_GOLD,
    ),
    Pair("math", r"\begin{pmatrix} 1 & 0 \\ 2 & 3 \end{pmatrix}", r"\boxed{\begin{pmatrix}1&2\\0&3\end{pmatrix}}", 0.0),
    Pair("math", r"2 - 3i", r"\boxed{-3i + 2}", 1.0, LATEX_GOLD),
    Pair("math", r"2 - 3i", r"\boxed{2+3i}", 0.0),
    Pair("math", r"x^2+4", r"\boxed{(x+2i)(x-2i)}", 1.0, IMAGINARY),
    Pair("math", "2i", r"\boxed{(1+i)^2}", 1.0, IMAGINARY),
    Pair("math", "-1", r"\boxed{i^2}", 1.0, IMAGINARY),
    Pair("math", r"\frac{1-i}{2}", r"\boxed{\frac{1}{1+i}}", 1.0, IMAGINARY),
    Pair("math", "2i", r"\boxed{2}", 0.0, "plain math-verify reads the gold 2i as 2"),
    Pair("math", "i", r"\boxed{i}", 1.0, LATEX_GOLD),
    Pair("math", "-i", r"\boxed{i^3}", 1.0, IMAGINARY),
    Pair("math", r"\sum_{i=1}^{4} i", r"\boxed{10}", 1.0, LATEX_GOLD),
    Pair("math", r"10110_2", r"\boxed{10110_{2}}", 1.0),
    Pair(
        "math", r"10110_2", r"\boxed{10110_3}", 0.0, "the same digits in another base; plain math-verify drops the base"
    ),
    Pair("math", "22", r"\boxed{\displaystyle 22}", 1.0),
    Pair("math", r"\frac{1}{2}", r"\boxed{\left(\frac{1}{2}\right)}", 1.0),
    Pair("math", r"\frac{1}{2}", r"\boxed{\frac{1}{2}.}", 1.0),
    Pair("math", "9", r"\boxed{\$9\$}", 1.0),
    Pair("math", "90", r"\boxed{$90$}", 1.0),
    Pair("math", "9", r"\boxed{\;9\;}", 1.0),
    Pair("math", "9", r"\boxed{9\,}", 1.0),
    Pair("math", "9", r"\boxed{{9}}", 1.0),
    Pair("math", "3:5", r"\boxed{3:5}", 1.0, LATEX_GOLD),
    Pair("math", "3:5", r"\boxed{6:10}", 1.0, LATEX_GOLD),
    Pair("math", "3:5", r"\boxed{5:3}", 0.0),
    Pair("math", r"\infty", r"\boxed{+\infty}", 1.0, LATEX_GOLD),
    Pair("math", r"\infty", r"\boxed{-\infty}", 0.0),
    Pair("math", r"\frac{1}{2}", r"\boxed{\frac{1}{2}", 0.0, OPEN_BOX),
    Pair("math", r"\tan 45^\circ", r"\boxed{1}", 1.0, LATEX_GOLD),
    Pair("math", r"e^{2}", r"\boxed{e^2}", 1.0, LATEX_GOLD),
    Pair("math", "4", r"\boxed{|-4|}", 1.0),
    Pair("math", r"\overrightarrow{AB}", r"\boxed{\frac{1}{}}", 0.0),
]

BOXES = [
    Pair("math", "5", r"At first \boxed{3}, but that is wrong. Checking again we get \boxed{5}.", 1.0, LAST_BOX),
    Pair("math", "3", r"At first \boxed{3}, but that is wrong. Checking again we get \boxed{5}.", 0.0),
    Pair("boxed", "5", r"\boxed{3} \boxed{5}", 1.0, LAST_BOX),
    Pair("boxed", "3", r"\boxed{3} \boxed{5}", 0.0),
    Pair("boxed", "3, 5", r"\boxed{3} and \boxed{5}", 1.0, "a list of values; plain math-verify reads the gold as 5"),
    Pair("boxed", "3, 5", r"$\boxed{5}$, $\boxed{3}$", 1.0, "a list of values; plain math-verify reads the gold as 5"),
    Pair("boxed", "3, 5", r"\boxed{3} and \boxed{6}", 0.0),
    Pair("boxed", "5", r"We get \boxed{5", 0.0),
    Pair("boxed", "5", r"We get \boxed{\frac{10}{2}", 0.0, OPEN_BOX),
    Pair("boxed", "5", r"We get \boxed{5}. Then again \boxed{6", 1.0),
    Pair("boxed", "6", r"We get \boxed{5}. Then again \boxed{6", 0.0),
    Pair(
        "boxed", "5", "The answer is 5.", 0.0, "the prompt asks for a box; plain math-verify searches all of the text"
    ),
    Pair("boxed", "5", "", 0.0),
    Pair("boxed", "5", r"\boxed{\boxed{5}}", 1.0),
    Pair("boxed", r"\frac{5}{2}", r"\boxed{\frac{\boxed{5}}{2}}", 1.0, "the outer box is the answer"),
    Pair("boxed", "5", r"\boxed{\frac{\boxed{5}}{2}}", 0.0, "the outer box is the answer"),
    Pair("boxed", "3/8", r"First \\boxed{1}, rather \\boxed{\\frac{3}{8}}", 1.0, LAST_BOX),
    Pair("boxed", r"\{1,2\}", r"\boxed{\{1,2\}}", 1.0, LATEX_GOLD),
    Pair("boxed", "5", r"\boxed {5}", 1.0, "a space before the brace"),
    Pair("boxed", "5", r"\boxed{5} is what I get, out of 12 tries and 3 ideas.", 1.0),
    Pair("boxed", "12", r"\boxed{5} is what I get, out of 12 tries and 3 ideas.", 0.0),
    Pair("boxed", "5", r"} } \boxed{5} {", 1.0),
    Pair("boxed", "5", r"\boxed{The answer is 5}", 1.0, UNIT_WORD),
    Pair("boxed", "34", "The remainder is \\boxed{34}\n", 1.0),
]

WORD_ANSWERS = [
    Pair("math", "Tuesday", r"\boxed{\text{Tuesday}}", 1.0, WORDS),
    Pair("math", "Tuesday", r"\boxed{tuesday}", 1.0, WORDS),
    Pair("math", "Tuesday", r"\boxed{\text{Thursday}}", 0.0),
    Pair("math", "Tuesday", "The answer is Tuesday.", 1.0, WORDS),
    Pair("math", "Yes", r"\boxed{\textbf{Yes}}", 1.0, WORDS),
    Pair("math", "Yes", r"\boxed{No}", 0.0),
    Pair("math", "B", r"\boxed{B}", 1.0, WORDS),
    Pair("math", "B", r"\boxed{(B)}", 1.0, WORDS),
    Pair("math", "B", r"\boxed{\text{(B)}}", 1.0, WORDS),
    Pair("math", "(B)", r"\boxed{b}", 1.0, WORDS),
    Pair("math", "B", r"\boxed{\mathrm{C}}", 0.0),
    Pair("math", "B", "The answer is B.", 1.0, WORDS),
    Pair("math", "New York", r"\boxed{\text{New York}}", 1.0, WORDS),
    Pair("math", "no solution", r"\boxed{\text{No solution}}", 1.0, WORDS),
]

PROSE = [
    Pair("math", "45", "First 6*7 = 42. Then we add 3, which gives 45.", 1.0),
    Pair("math", "42", "First 6*7 = 42. Then we add 3, which gives 45.", 0.0),
    Pair("math", "42", "The answer is 42. I checked it in 3 ways.", 1.0),
    Pair("math", "3", "The answer is 42. I checked it in 3 ways.", 0.0),
    Pair("math", "42", "Answer: 42 apples", 1.0),
    Pair("math", "42", "The answer is $42$ because $6 \\cdot 7 = 42$.", 1.0),
    Pair("math", "7", "The answer is $42$ because $6 \\cdot 7 = 42$ and 7 is odd.", 0.0),
    Pair("math", "42", "The answer is 41. Wait, no. The answer is 42.", 1.0),
    Pair("math", "41", "The answer is 41. Wait, no. The answer is 42.", 0.0),
    Pair("math", "1/2", "So the answer is $\\frac{1}{2}$.", 1.0),
    Pair("math", "42", "#### 42", 1.0),
    Pair(
        "math", "42", "The answer is 40 plus 2.\n#### 42", 1.0, "what follows #### is the last statement of the answer"
    ),
    Pair("math", "x^2", "The answer is $x^2$", 1.0, LATEX_GOLD),
    Pair("math", r"\frac{1}{0}", r"\boxed{5}", None, UNSCORABLE),
    Pair("math", "-6", "The answer is −6.", 1.0, UNICODE_MINUS),
    Pair("math", "6", "The answer is −6.", 0.0),
    Pair("math", "12", "答案：12", 1.0, CJK),
    Pair("math", "12", "所以答案是12。", 1.0, CJK),
    Pair("math", "12", "所以一共有\\boxed{12}个苹果。", 1.0),
    Pair("math", "12", "\\boxed{12个}", 1.0, CJK),
    Pair("math", "12", "\\boxed{１２}", 1.0, CJK),
    Pair("math", "72元", "\\boxed{72}", 1.0),
    Pair("math", "12", "\\boxed{13个}", 0.0),
    Pair("math", "(1,2)", "\\boxed{（1，2）}", 1.0, CJK),
]

LENGTH = [
    Pair("math", "37", LONG + r" Therefore \boxed{37}.", 1.0),
    Pair("math", "38", LONG + r" Therefore \boxed{37}.", 0.0),
    Pair("math", "37", r"\boxed{37} " + LONG, 1.0),
    Pair("math", r"\frac{7}{9}", LONG + r" Therefore \boxed{\dfrac{7}{9}}.", 1.0),
    Pair("math", "37", LONG + " The answer is 37.", 1.0),
    Pair(
        "math", "37", "The answer is 37. " + LONG, 1.0, "what is stated as the answer comes before the last expression"
    ),
    Pair("boxed", "37", LONG, 0.0),
    Pair("answer_tag", "37", f"<think>{LONG}</think> <answer>37</answer>", 1.0, TAG),
    Pair("gsm8k", "37", LONG + "\n#### 37", 1.0),
    Pair("math", "37", "一" * 10_000 + r"\boxed{37}", 1.0),
    Pair("exact", LONG, LONG, 1.0),
]

TAGS = [
    Pair("answer_tag", "72", "<think> 48 + 24 </think> <answer> 72 </answer>", 1.0),
    Pair("answer_tag", "72", "<think> 72 </think> <answer> 73 </answer>", 0.0),
    Pair("answer_tag", "72", "<think> 48 + 24 = 72 </think>", 0.0, TAG),
    Pair("answer_tag", "72", "<answer>72", 0.0),
    Pair("answer_tag", "72", "<answer>71</answer> no, <answer>72</answer>", 1.0, TAG),
    Pair("answer_tag", "71", "<answer>71</answer> no, <answer>72</answer>", 0.0),
    Pair("answer_tag", "71", "<answer>71</answer> no, <answer>72", 1.0, "the last complete tag counts"),
    Pair("answer_tag", "72", "<answer>$72</answer>", 1.0, TAG),
    Pair("answer_tag", "72", "<answer>72 clips</answer>", 1.0, TAG),
    Pair("answer_tag", "72", "<answer>48 + 24 = 72</answer>", 1.0),
    Pair("answer_tag", "72", r"<answer>\boxed{72}</answer>", 1.0),
    Pair("answer_tag", "72", "<answer>The answer is 72.</answer>", 1.0),
    Pair("answer_tag", "72", "<answer>72.00</answer>", 1.0, TAG),
    Pair("answer_tag", "72", "<answer></answer>", 0.0),
    Pair("answer_tag", "1234", "<answer>\n1,234\n</answer>", 1.0),
    Pair("answer_tag", "72", "<answer>Natalia sold 72 clips altogether.</answer>", 1.0),
    Pair("answer_tag", "0.5", r"<answer>$\frac{1}{2}$</answer>", 1.0),
    Pair("answer_tag", "72", "<think> I write <answer> </think> <answer>72</answer>", 1.0, TAG),
    Pair("answer_tag", "72", "72", 0.0, TAG),
]

GSM8K = [
    Pair("gsm8k", "72", "48 + 24 = 72\n#### 72", 1.0),
    Pair("gsm8k", "72", "48 + 24 = 72\n#### 71", 0.0),
    Pair("gsm8k", "72", "48 + 24 = 72", 0.0, HASHES),
    Pair("gsm8k", "1234", "#### 1,234", 1.0),
    Pair("gsm8k", "1,234", "#### 1234", 1.0),
    Pair("gsm8k", "72", "#### $72", 1.0),
    Pair("gsm8k", "72", "#### 72.00", 1.0),
    Pair("gsm8k", "72", "#### 72 clips", 1.0),
    Pair("gsm8k", "72", "#### 72.", 1.0),
    Pair("gsm8k", "-3", "#### -3", 1.0),
    Pair("gsm8k", "72", "####72", 1.0, HASHES),
    Pair("gsm8k", "72", "#### 71\nno:\n#### 72", 1.0),
    Pair("gsm8k", "72", "#### the total, 72", 0.0, "a number must follow #### directly"),
    Pair("gsm8k", "She sold 24.\n#### 72", "#### 72", 1.0),
    Pair("gsm8k", "many", "#### 72", None, UNSCORABLE),
]

EXACT = [
    Pair("exact", "[1, 2, 'a']", "  [1, 2, 'a']\n", 1.0, LITERAL),
    Pair("exact", "[1, 2, 'a']", "[1, 2, 'b']", 0.0, LITERAL),
    Pair("exact", "'bcksrut'", "'bcksrut'", 1.0, LITERAL),
    Pair("exact", "1", "1.0", 0.0, LITERAL),
    Pair("exact", "True", "True", 1.0, LITERAL),
    Pair("exact", "True", "", 0.0),
]

UNUSABLE = [
    Pair("math", "", r"\boxed{5}", None, UNSCORABLE),
    Pair("math", "  ", "", None, UNSCORABLE),
    Pair("math", r"\frac{1}{", r"\boxed{5}", None, UNSCORABLE),
    Pair("boxed", "nan", r"\boxed{5}", None, UNSCORABLE),
    Pair("answer_tag", "???", "<answer>5</answer>", None, UNSCORABLE),
    Pair("math", "see the worked solution printed on the next page", r"\boxed{5}", None, UNSCORABLE),
    Pair("math", r"\boxed{5", r"\boxed{5}", None, UNSCORABLE),
    Pair("exact", " ", "5", None, UNSCORABLE),
    Pair("gsm8k", "", "#### 5", None, UNSCORABLE),
]

PAIRS = [
    *BASICS, *FRACTIONS, *DECIMALS, *COMMAS, *PERCENTAGES, *SETS, *INTERVALS, *UNITS, *LATEX, *BOXES,
    *WORD_ANSWERS, *PROSE, *LENGTH, *TAGS, *GSM8K, *EXACT, *UNUSABLE,
]  # fmt: skip
