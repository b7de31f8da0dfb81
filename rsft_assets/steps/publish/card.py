"""Cards: a repository's README.md with the hub's YAML header, from manifests and counts."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rsft_assets.steps.publish.lineage import public
from rsft_assets.steps.publish.publication import LINEAGE
from rsft_assets.steps.records.identity import materialize_command
from rsft_assets.steps.records.manifest import InputRecord, Manifest

PAPER = "https://arxiv.org/abs/2604.06628"


def card(header: Mapping[str, Any], title: str, *parts: str) -> bytes:
    """The text of a card. Values of the header are JSON, which is YAML."""
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in header.items() if value]
    return "\n".join(["---", *lines, "---", "", f"# {title}", "", "\n\n".join(filter(None, parts)), ""]).encode()


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown, empty where there are no rows."""
    shown = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    if not shown:
        return ""
    return "\n".join(f"| {' | '.join(row)} |" for row in [headings, ["---"] * len(headings), *shown])


def made_with(made: Manifest) -> str:
    """How an output was made: the command, the versions, the identity."""
    by = made.made_by
    versions = ", ".join(f"{name} {version}" for name, version in by.get("versions", {}).items())
    commit = (
        f"commit {by['commit']}{', with uncommitted changes' if by.get('dirty') else ''}" if by.get("commit") else ""
    )
    rows = [
        ("asset", f"`{made.ref}`"),
        ("command", f"`{materialize_command(made.ref)}`"),
        ("step", f"`{public(by.get('command', ''))}`"),
        ("code", commit or "not recorded"),
        ("versions", versions),
        ("finished", made.finished_at),
        ("identity", f"`{made.fingerprint}`"),
        ("digest", f"`{made.digest}`"),
    ]
    return "## How it was made\n\n" + table(("", ""), rows)


def made_from(inputs: Sequence[InputRecord], licences: Mapping[str, str]) -> str:
    """What an output was made from, and the licences of the repositories behind it."""
    listed = table(
        ("input", "digest"),
        ((f"{i.asset}{f'[{i.partition}]' if i.partition else ''}", f"`{i.digest[:12]}`") for i in inputs),
    )
    return "\n\n".join(
        filter(
            None,
            [
                "## What it was made from",
                listed,
                table(("repository", "licence"), licences.items()),
                f"`{LINEAGE}` holds the manifests of all of it.",
            ],
        )
    )
