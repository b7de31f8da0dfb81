"""One place in a trace: what it is, the facts about it, what it was made from (or what it touches)."""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Node:
    """A tree of outputs and what they were made from."""

    title: str
    kind: str = "output"
    """output, rows, row, text, group, or missing."""
    facts: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None
    """The damage at this link; empty if there is none."""
    children: list["Node"] = field(default_factory=list)

    def add(self, *nodes: "Node | None") -> "Node":
        self.children += [node for node in nodes if node is not None]
        return self

    def walk(self) -> Iterator["Node"]:
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def problems(self) -> list[str]:
        """Every broken link below, with its place."""
        return [f"{node.title}: {node.problem}" for node in self.walk() if node.problem]


def as_json(node: Node) -> str:
    """The whole tree as one JSON document."""
    return json.dumps({**dataclasses.asdict(node), "problems": node.problems}, ensure_ascii=False, indent=1)


def as_tree(node: Node, *, width: int = 160) -> str:
    """The whole tree as lines for a terminal; `!` marks a broken link."""
    return "\n".join(line if len(line) <= width else line[: width - 1] + "…" for line in _lines(node, "", ""))


def _lines(node: Node, first: str, rest: str) -> Iterator[str]:
    yield f"{first}{'! ' if node.problem else ''}{node.title}"
    trunk = rest + ("│ " if node.children else "  ")
    if node.problem:
        yield f"{trunk}BROKEN: {node.problem}"
    for line in _fact_lines(node.facts):
        yield f"{trunk}{line}"
    for child in node.children:
        last = child is node.children[-1]
        yield from _lines(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))


def _fact_lines(facts: dict[str, Any]) -> Iterator[str]:
    """Short facts share a line; a long one has its own."""
    held = ""
    for name, value in facts.items():
        if value is None or value == "":
            continue
        word = f"{name}: {_short(value)}"
        if len(word) > 60 or (held and len(held) + len(word) > 110):
            if held:
                yield held
            held = word
        else:
            held = f"{held} · {word}" if held else word
    if held:
        yield held


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(one)}" for name, one in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_short, value))
    return str(value).replace("\n", "⏎")
