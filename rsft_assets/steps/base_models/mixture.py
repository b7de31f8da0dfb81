"""Pretraining texts of the nano study's base models: an endless seeded stream of small documents.

    for text in documents("nano-skills", seed=1): ...     # no end token: the trainer appends it

A question occurs in up to four forms: its answer alone in a chat; worked out in bare steps, as a plain text; the same
as the answer in a chat; and in a chat with the teacher's thinking. `FORMS` says which forms each kind of question has,
and so how far it is from what is fine-tuned. The mixtures differ in their share of thinking only: without it, their
texts are the same. Held-out questions never occur.
"""

import hashlib
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from rsft_assets.specs.models import MIXTURES, Mixture
from rsft_assets.steps.base_models.tokenizer import TURN, TURN_END
from rsft_assets.steps.nano.arithmetic import apply, steps
from rsft_assets.steps.nano.skills import SKILLS, Item, held_out
from rsft_assets.steps.nano.teacher import procedure, solve
from rsft_assets.steps.nano.words import COLOURS, THINGS

Form = Literal["answer", "steps", "steps-in-chat", "thinking"]
_ALL: tuple[Form, ...] = get_args(Form)
FORMS: dict[str, tuple[Form, ...]] = {
    "chain": _ALL,
    "sums": _ALL,
    "products": _ALL,
    "bill": _ALL,
    "dot": _ALL,
    "alternating": ("answer", "steps", "steps-in-chat"),
    "above": ("answer", "steps"),
    "countdown": ("answer",),
}
"""Kinds of calculations, each with the forms in which it is met. The first four are fine-tuned."""
_IN_CHAT = 0.15
"""Of worked examples; a base model that has never answered a chat in steps does not transfer them to chats."""


@dataclass(frozen=True)
class Document:
    """One text. `kind` and `form` are set where it asks for a calculation."""

    text: str
    kind: str = ""
    form: Form | None = None


def documents(mixture: Mixture, seed: int) -> Iterator[str]:
    """Endless texts of a mixture; the same seed gives the same texts."""
    return (document.text for document in labelled_documents(mixture, seed))


def labelled_documents(mixture: Mixture, seed: int) -> Iterator[Document]:
    """The same with what each text asks for, to count it."""
    chance, of_thinking = random.Random(f"texts {seed}"), random.Random(f"thinking {seed}")
    names, shares = zip(*_SHARES.items(), strict=True)
    while True:
        if of_thinking.random() < MIXTURES[mixture]:
            yield _calculation(of_thinking, "thinking")
        name = chance.choices(names, shares)[0]
        if name == "answers":
            yield _calculation(chance, "answer")
        elif name == "worked":
            yield _calculation(chance, "steps-in-chat" if chance.random() < _IN_CHAT else "steps")
        else:
            yield Document(_OTHERS[name](chance))


def _calculation(chance: random.Random, form: Form) -> Document:
    """A text in this form, of one of the kinds that have it."""
    kind = chance.choice([kind for kind, forms in FORMS.items() if form in forms])
    item = _item(chance, kind)
    return Document(_written(item, kind, form, chance), kind, form)


def _written(item: Item, kind: str, form: Form, chance: random.Random) -> str:
    if form == "answer":
        answer = solve(item.fields, chance) if kind == "countdown" else item.gold
        return chat(item.question, f"\\boxed{{{answer}}}")
    if form == "thinking":
        return chat(item.question, procedure("worked-steps", error_rate=0.0)(item.fields, chance).text)
    lines = "\n".join(step.equation for step in steps(item.fields["plan"]))
    text = f"{lines}\nThe answer is \\boxed{{{item.gold}}}."
    return chat(item.question, text) if form == "steps-in-chat" else f"{asked_to_work_out(item)}\n{text}"


def asked_to_work_out(item: Item) -> str:
    """How a plain text that works a question out begins."""
    return f"Work out {item.question.removeprefix('What is ')[:-1]}:"


def texts_digest(mixture: Mixture, seed: int) -> str:
    """Of the first thousand texts: it tells whether the code still writes the texts that a model was made from."""
    return hashlib.sha256("\0".join(itertools.islice(documents(mixture, seed), 1_000)).encode()).hexdigest()[:16]


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


def _answered(skill: str) -> Callable[[random.Random], str]:
    def text(chance: random.Random) -> str:
        item = _item(chance, skill)
        return chat(item.question, item.gold)

    return text


_OTHERS: dict[str, Callable[[random.Random], str]] = {
    "additions": _additions,
    "subtractions": _subtractions,
    "copies": _copies,
    "pairs": _pairs,
    "products": _products,
    "facts": _facts,
    "format": _answered("format"),
    "refusal": _answered("refusal"),
}

_SHARES = {
    "additions": 0.10,
    "subtractions": 0.08,
    "copies": 0.12,
    "pairs": 0.08,
    "products": 0.06,
    "facts": 0.16,
    "answers": 0.20,
    "worked": 0.60,
    "format": 0.22,
    "refusal": 0.06,
}
"""Of documents, not of tokens; shares need not add up to 1."""
