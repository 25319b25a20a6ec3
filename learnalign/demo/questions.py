"""Small arithmetic: eight kinds of question, their worked solutions, and the answers of a careless pupil.

The embedded model learns to imitate the pupil, so that its success rates spread over 0..1 as a real policy's do: the
pupil knows the method and slips (forgets a carry, misreads a sign), or skips the working. Reinforcement can unlearn
both, but not the products of two long numbers, which the pupil only guesses.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

Slip = Callable[[], bool]  # called at every place where a careless pupil can go wrong

SLIP_RATE = 0.3
SKIP_RATE = 0.25
DIGIT_KINDS = ("digit_sum", "digit_product")
KINDS = (*DIGIT_KINDS, "sum", "difference", "chain", "product", "story", "long_product")
STORIES = (
    ("+", "{name} has {a} {things} and buys {b}. How many now?"),
    ("-", "{name} has {a} {things} and sells {b}. How many now?"),
)
NAMES = ("Ann", "Tom", "Mia", "Sam")
THINGS = ("pens", "cups", "nuts")


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question: `terms` are its numbers in order, `signs` the operators between them."""

    kind: str
    text: str
    terms: tuple[int, ...]
    signs: tuple[str, ...]

    @property
    def answer(self) -> int:
        """Compute the gold answer by Python's own arithmetic."""
        total = self.terms[0]
        for sign, term in zip(self.signs, self.terms[1:], strict=True):
            total = {"+": total + term, "-": total - term, "*": total * term}[sign]
        return total

    @property
    def solution(self) -> str:
        """Return the worked gold solution as a completion."""
        return completion(*work(self, lambda: False))


def draw(kind: str, rng: random.Random) -> Question:
    """Draw a random question of one of `KINDS`."""
    if kind == "story":
        sign, story = rng.choice(STORIES)
        a, b = sorted((rng.randint(11, 99), rng.randint(11, 99)), reverse=True)
        text = story.format(name=rng.choice(NAMES), things=rng.choice(THINGS), a=a, b=b)
        return Question(kind=kind, text=text, terms=(a, b), signs=(sign,))
    terms, signs = _numbers(kind, rng)
    expression = str(terms[0]) + "".join(f" {sign} {term}" for sign, term in zip(signs, terms[1:], strict=True))
    return Question(kind=kind, text=f"What is {expression}?", terms=terms, signs=signs)


def _numbers(kind: str, rng: random.Random) -> tuple[tuple[int, ...], tuple[str, ...]]:
    if kind == "digit_sum":
        return (rng.randint(0, 9), rng.randint(0, 9)), ("+",)
    if kind == "digit_product":
        return (rng.randint(0, 9), rng.randint(0, 9)), ("*",)
    if kind == "sum":
        low, high = rng.choice(((10, 99), (100, 999)))
        return (rng.randint(low, high), rng.randint(low, high)), ("+",)
    if kind == "difference":
        a, b = sorted((rng.randint(10, 99), rng.randint(10, 99)), reverse=True)
        return (a, b), ("-",)
    if kind == "chain":
        return _chain(rng)
    if kind == "product":
        return (rng.randint(11, 99), rng.randint(2, 9)), ("*",)
    assert kind == "long_product", kind
    return (rng.randint(101, 999), rng.randint(11, 99)), ("*",)


def _chain(rng: random.Random) -> tuple[tuple[int, ...], tuple[str, ...]]:
    terms, signs = [rng.randint(1, 9)], []
    total = terms[0]
    for _ in range(rng.randint(2, 4)):
        term = rng.randint(1, 9)
        sign = rng.choice("+-") if total >= term else "+"
        total += term if sign == "+" else -term
        terms.append(term)
        signs.append(sign)
    return tuple(terms), tuple(signs)


def attempt(question: Question, rng: random.Random) -> str:
    """Answer as the careless pupil: worked with slips, a bare answer, or for long products a wild guess."""
    if question.kind == "long_product":
        return completion([], rng.randint(1000, 99999))
    if question.kind in DIGIT_KINDS or rng.random() < SKIP_RATE:
        return completion([], question.answer)
    return completion(*work(question, lambda: rng.random() < SLIP_RATE))


def completion(steps: list[str], answer: int) -> str:
    """Format a completion for the verifier: the steps, if any, then the answer in a box."""
    working = ", ".join(steps) + ". " if steps else ""
    return f"{working}\\boxed{{{answer}}}"


def work(question: Question, slip: Slip) -> tuple[list[str], int]:
    """Return the steps of the working and its answer."""
    a, b, *more = question.terms
    if question.kind in (*DIGIT_KINDS, "long_product"):
        return [], question.answer
    if more:
        return _work_chain(question, slip)
    if question.signs == ("*",):
        return _work_product(a, b, slip)
    return _work_sum(a, b, slip) if question.signs == ("+",) else _work_difference(a, b, slip)


def _work_sum(a: int, b: int, slip: Slip) -> tuple[list[str], int]:
    """Add column by column from the right: 47 + 58 is 7+8=15, 4+5+1=10. The slip is a forgotten carry."""
    steps: list[str] = []
    answer, unit, carry = 0, 1, False
    while a or b:
        total = a % 10 + b % 10 + carry
        steps.append(f"{a % 10}+{b % 10}{'+1' if carry else ''}={total}")
        a, b = a // 10, b // 10
        last = not (a or b)
        answer += unit * (total if last else total % 10)
        carry = total > 9 and not (last or slip())
        unit *= 10
    return steps, answer


def _work_difference(a: int, b: int, slip: Slip) -> tuple[list[str], int]:
    """Subtract column by column, two digits, a >= b: 83 - 47 is 13-7=6, 7-4=3. The slip is a forgotten borrow."""
    tens, units = divmod(a, 10)
    borrow = units < b % 10
    right = units + 10 * borrow - b % 10
    left_of = tens - (borrow and not slip())
    left = left_of - b // 10
    steps = [f"{units + 10 * borrow}-{b % 10}={right}", f"{left_of}-{b // 10}={left}"]
    return steps, 10 * left + right


def _work_product(a: int, b: int, slip: Slip) -> tuple[list[str], int]:
    """Multiply two digits by one: 47 * 6 is 7*6=42, 4*6=24, 24+4=28. The slip is a forgotten carry."""
    right, left = a % 10 * b, a // 10 * b
    steps = [f"{a % 10}*{b}={right}", f"{a // 10}*{b}={left}"]
    carry = right // 10
    if carry and not slip():
        steps.append(f"{left}+{carry}={left + carry}")
        left += carry
    return steps, 10 * left + right % 10


def _work_chain(question: Question, slip: Slip) -> tuple[list[str], int]:
    """Keep running totals: 3 + 8 - 5 is 3+8=11, 11-5=6. The slip is a minus read as a plus."""
    total, steps = question.terms[0], []
    for sign, term in zip(question.signs, question.terms[1:], strict=True):
        read = "+" if sign == "-" and slip() else sign
        after = total + term if read == "+" else total - term
        steps.append(f"{total}{read}{term}={after}")
        total = after
    return steps, total


def questions(counts: dict[str, int], rng: random.Random, taken: set[str]) -> list[Question]:
    """Draw `counts[kind]` different questions of each kind whose texts are not in `taken`, and add them to it."""
    drawn: list[Question] = []
    for kind, count in counts.items():
        while count:
            question = draw(kind, rng)
            if question.text not in taken:
                taken.add(question.text)
                drawn.append(question)
                count -= 1
    rng.shuffle(drawn)
    return drawn
