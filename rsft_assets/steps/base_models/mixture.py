"""Pretraining texts of the nano study's base models: an endless seeded stream of small documents.

    for text in documents("nano-skills", seed=1): ...     # no end token: the trainer appends it

"worked" documents work an example out, mostly as plain texts, sometimes as the answer in a chat, and without thinking.
`nano-skills-little` adds a small amount of the teacher's own thinking; the other texts are the same in both. Held-out
questions never occur.
"""

import random
from collections.abc import Callable, Iterator

from rsft_assets.specs.models import Mixture
from rsft_assets.steps.base_models.tokenizer import TURN, TURN_END
from rsft_assets.steps.nano.arithmetic import apply, steps
from rsft_assets.steps.nano.skills import SKILLS, Item, held_out
from rsft_assets.steps.nano.teacher import procedure, solve
from rsft_assets.steps.nano.words import COLOURS, THINGS

_WORKED_OUT = ("running", "products", "dot")
_IN_CHAT = 0.15
"""Of worked examples; a base model that has never answered a chat in steps does not transfer them to chats."""


def documents(mixture: Mixture, seed: int) -> Iterator[str]:
    """Endless texts of a mixture; the same seed gives the same texts."""
    chance, aside = random.Random(f"texts {seed}"), random.Random(f"thinking {seed}")
    names, shares = zip(*_SHARES.items(), strict=True)
    while True:
        if aside.random() < MIXTURES[mixture]:
            yield _thinking(aside)
        yield _KINDS[chance.choices(names, shares)[0]](chance)


def chat(question: str, answer: str) -> str:
    """A question and its answer as the tokenizer's chat template writes them, without the end token."""
    return f"{TURN}user\n{question}{TURN_END}\n{TURN}assistant\n{answer}"


def _item(chance: random.Random, skill: str) -> Item:
    while held_out((item := SKILLS[skill](chance)).question):
        pass
    return item


def _additions(chance: random.Random) -> str:
    lines = []
    for _ in range(8):
        a, b = chance.randint(1, 60), chance.randint(1, chance.choice((9, 30)))
        lines.append(f"{a}+{b}={a + b}")
    return "\n".join(lines)


def _subtractions(chance: random.Random) -> str:
    pairs = [(chance.randint(9, 99), chance.randint(1, 9)) for _ in range(8)]
    return "\n".join(f"{a}-{b}={a - b}" for a, b in pairs)


def _copies(chance: random.Random) -> str:
    """Words or numbers said twice: the shortest way to learn to copy, on which formats and worked steps stand."""
    size = chance.randint(6, 12)
    said = chance.choices(COLOURS + THINGS, k=size) if chance.random() < 0.5 else _digits(chance, size)
    return " ".join([*said, *said])


def _digits(chance: random.Random, size: int) -> list[str]:
    return [str(chance.randint(1, 9)) for _ in range(size)]


def _pairs(chance: random.Random) -> str:
    """Rows of numbers and the results of pairs of them: most skills begin with picking numbers."""
    numbers = chance.sample(range(1, 21), chance.choice((3, 4)))
    lines = []
    for _ in range(5):
        b, a = sorted(chance.sample(numbers, 2))
        sign = chance.choice("+-")
        lines.append(f"{a}{sign}{b}={apply(sign, a, b)}")
    return f"{','.join(map(str, numbers))}: {' '.join(lines)}"


def _products(chance: random.Random) -> str:
    pairs = [(chance.randint(1, 33), chance.randint(1, 3)) for _ in range(8)]
    return "\n".join(f"{a}*{b}={a * b}" for a, b in pairs)


def _facts(chance: random.Random) -> str:
    item = _item(chance, "facts")
    return chat(item.question, f"\\boxed{{{item.gold}}}")


def _direct(chance: random.Random) -> str:
    skill = chance.choice((*_WORKED_OUT, "countdown"))
    item = _item(chance, skill)
    answer = solve(item.fields, chance) if skill == "countdown" else item.gold
    return chat(item.question, f"\\boxed{{{answer}}}")


def _worked(chance: random.Random) -> str:
    item = _item(chance, chance.choice(_WORKED_OUT))
    lines = "\n".join(step.equation for step in steps(item.fields["plan"]))
    text = f"{lines}\nThe answer is \\boxed{{{item.gold}}}."
    return chat(item.question, text) if chance.random() < _IN_CHAT else f"{asked_to_work_out(item)}\n{text}"


def asked_to_work_out(item: Item) -> str:
    """How a document that works a question out begins."""
    return f"Work out {item.question.removeprefix('What is ')[:-1]}:"


def _answered(skill: str) -> Callable[[random.Random], str]:
    def text(chance: random.Random) -> str:
        item = _item(chance, skill)
        return chat(item.question, item.gold)

    return text


def _thinking(chance: random.Random) -> str:
    item = _item(chance, chance.choice(_WORKED_OUT))
    return chat(item.question, procedure("worked-steps", error_rate=0.0)(item.fields, chance).text)


_KINDS: dict[str, Callable[[random.Random], str]] = {
    "additions": _additions,
    "copies": _copies,
    "pairs": _pairs,
    "products": _products,
    "facts": _facts,
    "direct": _direct,
    "worked": _worked,
    "format": _answered("format"),
    "refusal": _answered("refusal"),
    "subtractions": _subtractions,
}

_SHARES = {
    "additions": 0.10,
    "subtractions": 0.08,
    "copies": 0.12,
    "pairs": 0.08,
    "products": 0.06,
    "facts": 0.16,
    "direct": 0.16,
    "worked": 0.40,
    "format": 0.22,
    "refusal": 0.06,
}
"""Of documents, not of tokens; shares need not add up to 1."""
MIXTURES: dict[Mixture, float] = {"nano-skills": 0.0, "nano-skills-little": 0.04}
"""Documents of thinking put in before each of the others, on average."""
