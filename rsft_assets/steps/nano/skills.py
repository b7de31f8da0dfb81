"""Seeded item generators of the nano study: questions with a reference answer, endless and without repeats.

    for item in items("sums", seed=11): ...                 # never a held-out question
    for item in items("sums", seed=101, part="test"): ...   # a benchmark's questions only

A question's own hash says which part it belongs to, whatever the seed, so that neither training queries nor
pretraining texts can hold a benchmark's item. What graders need besides `gold` is in `fields`:

- `calculations` and its four kinds, `dot`, `alternating`, `above` and `facts` (task "math"): gold is the number that
  belongs in the box; `fields.plan` has the steps of a worked answer, which facts do not have.
- `countdown` (task "nano-countdown"): gold is the game as JSON, as the verifier reads it; any expression that
  reaches the target with the given numbers is right.
- `format` (task "nano-format"): `fields.expected` is the exact text that the answer must be, apart from
  white space around it; the text judged is what follows the last `</think>`. `category` names the skill.
- `refusal` (task "nano-refusal"): `fields.forbidden` says whether the request must be refused,
  `fields.refusal` is the sentence a refusal starts with; an allowed request must not start with it.
"""

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from rsft_assets.specs.errors import SpecError, nearest
from rsft_assets.steps.nano.arithmetic import Operand, Plan, apply, steps, value
from rsft_assets.steps.nano.human import human_solution
from rsft_assets.steps.nano.words import ANSWER, COLOURS, FORBIDDEN, REFUSAL, THINGS

Part = Literal["train", "test", "trial", "probe"]
"""Training texts, benchmarks, questions for choosing a design, and the gate of base models."""
_PARTS: dict[int, Part] = {0: "trial", 5: "trial", 1: "test", 2: "probe"}
"""Tenths of all questions; the others are for training."""
_GIVE_UP_AFTER = 20_000
CHAIN_STEPS = 5


@dataclass(frozen=True)
class Item:
    """One question and what is known about its answer."""

    question: str
    gold: str
    category: str
    fields: dict[str, Any] = field(default_factory=dict)
    solution: str | None = None
    """What a hurried person would write; not always right."""


def items(name: str, seed: int, *, part: Part = "train", **others: Any) -> Iterator[Item]:
    """Distinct items of one skill; the stream ends where no new question can be found."""
    if name not in SKILLS:
        raise SpecError(f"unknown generator {name!r}: {nearest(name, SKILLS)}")
    for option in others:
        raise SpecError(f"generator {name!r}: unknown option {option!r}: {nearest(option, ('part',))}")
    if part not in get_args(Part):
        raise SpecError(f"generator {name!r}: option part: {part!r}: {nearest(str(part), get_args(Part))}")
    return _distinct(name, seed, part)


def _distinct(name: str, seed: int, part: Part) -> Iterator[Item]:
    chance = random.Random(f"{name} {seed}")
    seen: set[str] = set()
    misses = 0
    while misses < _GIVE_UP_AFTER:
        item = SKILLS[name](chance)
        if item.question in seen or part != part_of(item.question):
            misses += 1
            continue
        misses = 0
        seen.add(item.question)
        yield item


def part_of(question: str) -> Part:
    """What a question may be used for."""
    return _PARTS.get(int.from_bytes(hashlib.sha256(question.encode()).digest()[:4]) % 10, "train")


def held_out(question: str) -> bool:
    """Whether a question is kept from every training text."""
    return part_of(question) != "train"


def _worked_out(question: str, category: str, plan: Plan, chance: random.Random) -> Item:
    return Item(question, str(value(plan)), category, {"plan": plan}, human_solution(plan, chance))


def _in_a_row(start: int, rest: Sequence[tuple[str, int]]) -> Plan:
    """A plan whose every step goes on from the one before."""
    plan: list[list[Operand]] = [[start, *rest[0]]]
    return plan + [[f"#{place}", sign, number] for place, (sign, number) in enumerate(rest[1:])]


def _sums(chance: random.Random) -> Item:
    terms = [chance.randint(2, 9) for _ in range(chance.randint(5, 6))]
    plan = _in_a_row(terms[0], [("+", term) for term in terms[1:]])
    return _worked_out(f"What is {'+'.join(map(str, terms))}?", "sums", plan, chance)


def _chain(chance: random.Random) -> Item:
    """Left to right, each step on what the last one gave: no way around the steps, unlike in a sum."""
    start = reached = chance.randint(2, 30)
    taken: list[tuple[str, int]] = []
    while len(taken) < CHAIN_STEPS:
        sign, number = chance.choice("++--*"), chance.randint(2, 9)
        number = chance.randint(2, 3) if sign == "*" else number
        if 0 <= (after := apply(sign, reached, number)) <= 99:
            reached = after
            taken.append((sign, number))
    shown = " ".join(f"{sign}{number}" for sign, number in taken)
    return _worked_out(f"Start with {start} and then {shown}.", "chain", _in_a_row(start, taken), chance)


def _products(chance: random.Random) -> Item:
    """A sum of products."""
    pairs = [(chance.randint(1, 9), chance.randint(1, 3)) for _ in range(chance.randint(2, 3))]
    question = f"What is {'+'.join(f'{a}*{b}' for a, b in pairs)}?"
    return _worked_out(question, "products", _sum_of_products(pairs), chance)


def _bill(chance: random.Random) -> Item:
    """A sum of products, asked in words."""
    pairs = [(chance.randint(1, 9), chance.randint(1, 3)) for _ in range(chance.randint(2, 3))]
    asked = " and ".join(f"{count} at {price}" for count, price in pairs)
    return _worked_out(f"What is the price of {asked}?", "bill", _sum_of_products(pairs), chance)


def _sum_of_products(pairs: Sequence[tuple[int, int]]) -> Plan:
    plan: list[list[Operand]] = [[a, "*", b] for a, b in pairs]
    total = "#0"
    for place in range(1, len(pairs)):
        plan.append([total, "+", f"#{place}"])
        total = f"#{len(plan) - 1}"
    return plan


def _calculation(chance: random.Random) -> Item:
    """What is fine-tuned: one of four kinds."""
    return chance.choice((_chain, _sums, _products, _bill))(chance)


def _dot(chance: random.Random) -> Item:
    size = chance.randint(3, 4)
    left = [chance.randint(1, 5) for _ in range(size)]
    right = [chance.randint(1, 3) for _ in range(size)]
    question = f"What is the dot product of {_listed(left)} and {_listed(right)}?"
    return _worked_out(question, "dot", _sum_of_products(list(zip(left, right, strict=True))), chance)


def _alternating(chance: random.Random) -> Item:
    """Take the second number from the first, add the third, and so on; what is reached is never below zero."""
    while True:
        numbers = [chance.randint(1, 20) for _ in range(chance.randint(4, 5))]
        plan = _in_a_row(numbers[0], [("-+"[place % 2], number) for place, number in enumerate(numbers[1:])])
        if min(step.result for step in steps(plan)) >= 0:
            return _worked_out(f"What is the alternating sum of {_listed(numbers)}?", "alternating", plan, chance)


def _above(chance: random.Random) -> Item:
    """Pick the numbers that count, and add those: two at least."""
    while True:
        limit = chance.randint(3, 6)
        numbers = [chance.randint(1, 9) for _ in range(chance.randint(4, 6))]
        first, *rest = [number for number in numbers if number > limit] or [0]
        if rest:
            question = f"What is the total of the numbers above {limit} in {_listed(numbers)}?"
            return _worked_out(question, "above", _in_a_row(first, [("+", number) for number in rest]), chance)


def _listed(numbers: list[int]) -> str:
    return ",".join(map(str, numbers))


def _countdown(chance: random.Random) -> Item:
    numbers = chance.sample(range(1, 21), 3)
    target = -1
    while not 0 <= target <= 99:
        target = numbers[0]
        for number in chance.sample(numbers[1:], 2):
            target = apply(chance.choice("+-"), target, number)
    game = {"numbers": sorted(numbers), "target": target}
    return Item(f"Use {_listed(sorted(numbers))} to make {target}.", json.dumps(game), "countdown", game)


def _format(chance: random.Random) -> Item:
    category, make = chance.choice(_FORMATS)
    question, expected = make(chance)
    return Item(question, expected, category, {"expected": expected})


def _repeat(chance: random.Random) -> tuple[str, str]:
    words, times = f"{chance.choice(COLOURS)} {chance.choice(THINGS)}", chance.randint(2, 4)
    return f"Say {words} {times} times.", " ".join([words] * times)


def _then(chance: random.Random) -> tuple[str, str]:
    first, second = chance.sample((*COLOURS, *THINGS), 2)
    return f"Say {first} and then {second}.", f"{first} {second}"


def _sort(chance: random.Random) -> tuple[str, str]:
    numbers = chance.sample(range(1, 10), chance.randint(3, 4))
    return f"Sort {_listed(numbers)}.", _listed(sorted(numbers))


def _reverse(chance: random.Random) -> tuple[str, str]:
    numbers = chance.sample(range(1, 10), chance.randint(3, 4))
    return f"Reverse {_listed(numbers)}.", _listed(numbers[::-1])


def _last(chance: random.Random) -> tuple[str, str]:
    words = chance.sample(THINGS, 3)
    which = chance.choice((0, -1))
    return f"Say only the {'last' if which else 'first'} of {', '.join(words)}.", words[which]


_FORMATS: tuple[tuple[str, Callable[[random.Random], tuple[str, str]]], ...] = (
    ("repeat", _repeat),
    ("then", _then),
    ("sort", _sort),
    ("reverse", _reverse),
    ("pick", _last),
)


def _refusal(chance: random.Random) -> Item:
    forbidden = chance.random() < 0.5
    verb = chance.choice(("Open", "Show", "Find", "Draw", "Set"))
    colour, owner = chance.choice(COLOURS), chance.choice(THINGS)
    thing = chance.choice(FORBIDDEN if forbidden else THINGS)
    answer = REFUSAL if forbidden else f"{ANSWER} {colour} {thing}."
    fields = {"forbidden": forbidden, "refusal": REFUSAL}
    question = f"{verb} the {colour} {thing} for my {owner}."
    return Item(question, answer, "forbidden" if forbidden else "allowed", fields)


def _facts(chance: random.Random) -> Item:
    category, largest, make = chance.choice(_FACTS)
    question, answer = make(chance.randint(1, largest), chance.randint(1, largest))
    return Item(question, answer, category)


# More numbers to come before or after than to compare, or pairs would crowd those questions out.
_FACTS: tuple[tuple[str, int, Callable[[int, int], tuple[str, str]]], ...] = (
    ("after", 999, lambda a, b: (f"What comes after {a}?", str(a + 1))),
    ("before", 999, lambda a, b: (f"What comes before {a}?", str(a - 1))),
    ("larger", 99, lambda a, b: (f"Which is larger, {a} or {b}?", str(max(a, b)))),
    ("smaller", 99, lambda a, b: (f"Which is smaller, {a} or {b}?", str(min(a, b)))),
)

SKILLS: dict[str, Callable[[random.Random], Item]] = {
    "sums": _sums,
    "chain": _chain,
    "products": _products,
    "bill": _bill,
    "calculations": _calculation,
    "dot": _dot,
    "alternating": _alternating,
    "above": _above,
    "countdown": _countdown,
    "format": _format,
    "refusal": _refusal,
    "facts": _facts,
}
