"""`rsft publish`: what would be sent to a hub, and with --yes the sending."""

import json
import re
from typing import Any

from rich.console import Console

from rsft_assets.specs.errors import SpecError, StepError
from rsft_assets.specs.study import load_study
from rsft_assets.steps.publish.choose import Chosen, choose
from rsft_assets.steps.publish.publication import Publication
from rsft_assets.steps.publish.send import send, writing_token
from rsft_assets.steps.questions.planning.selection import Selection, cells
from rsft_assets.steps.records.store import Store

_OWNER = re.compile(r"\w[\w.-]*", re.ASCII)


def run_publish(
    selection: Selection, *, owner: str, yes: bool, private: bool, licence: str | None, as_json: bool = False
) -> int:
    """Say what a selection publishes, and with `yes` send it; the exit status."""
    if not _OWNER.fullmatch(owner):
        raise SpecError(f"--to {owner!r}: name a user or an organisation of the hub")
    study, console = load_study(), Console(stderr=True, highlight=False, markup=False)
    chosen = choose(study, Store.from_env(), cells(study, selection), owner, licence)
    _say(console, chosen)
    states: dict[str, str | None] = {}
    problems: dict[str, str] = {}
    if yes and chosen.publications:
        from huggingface_hub.utils.tqdm import disable_progress_bars

        token = writing_token(owner)
        if not console.is_terminal:
            disable_progress_bars()
        for one in chosen.publications:
            try:
                states[one.repo] = send(one, token, private=private)
            except StepError as error:
                problems[one.repo] = str(error)
                console.print(f"failed {error}", soft_wrap=True)
            else:
                line = f"sent   {states[one.repo]}" if states[one.repo] else f"equal  {one.repo}: nothing to send"
                console.print(line, soft_wrap=True)
    elif chosen.publications:
        console.print("nothing was sent; to send it, add --yes")
    if as_json:
        entries = [_entry(one, states, problems) for one in chosen.publications]
        print(json.dumps({"publications": entries, "left_out": chosen.left_out}))
    return 1 if problems or not chosen.publications else 0


def _say(console: Console, chosen: Chosen) -> None:
    for one in chosen.publications:
        sizes = one.sizes
        console.print(
            f"{one.kind} {one.repo}: {one.what}, {len(sizes)} files, {_bytes(sum(sizes.values()))}", soft_wrap=True
        )
        for name, size in sizes.items():
            console.print(f"  {name}  {_bytes(size)}", soft_wrap=True)
        for repo, licence in one.licences.items():
            console.print(f"  made from {repo}: licence {licence}", soft_wrap=True)
        for reason in one.left_out:
            console.print(f"  left out {reason}", soft_wrap=True)
    for reason in chosen.left_out:
        console.print(f"left out {reason}", soft_wrap=True)
    if not chosen.publications:
        console.print("nothing can be published")


def _bytes(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def _entry(one: Publication, states: dict[str, str | None], problems: dict[str, str]) -> dict[str, Any]:
    return {
        "repository": one.repo,
        "kind": one.kind,
        "what": one.what,
        "files": one.sizes,
        "licences": one.licences,
        "left_out": one.left_out,
        "commit": states.get(one.repo),
        "equal": one.repo in states and states[one.repo] is None,
        "problem": problems.get(one.repo),
    }
