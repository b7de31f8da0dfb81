"""What keeps a plan from running as it is, in words, each with its remedy."""

import shlex
from collections.abc import Iterable

from rsft_assets.specs.judges import JUDGES_SETTING, ROLES, judge_specs, missing_rubric
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.lock import load_lock, lock_file
from rsft_assets.specs.repositories import Repository, repositories
from rsft_assets.specs.study import Study
from rsft_assets.steps.questions.planning.closure import closure
from rsft_assets.steps.questions.planning.plan import Plan
from rsft_assets.steps.questions.planning.selection import Selection
from rsft_assets.steps.records.hub import MIRROR_ONLY_SETTING, mirror_only, mirrored
from rsft_assets.steps.records.hub_client import has_token, page
from rsft_assets.steps.records.lock_file import unlocked


def blocked(plan: Plan, selection: Selection) -> list[str]:
    """Repositories without a revision, gated ones without a token, judges that are not named."""
    study = plan.states.study
    refs = sorted(ref for ref in closure(study, plan.refs) if not plan.states.kept(ref))
    read = [one for one in repositories(study, refs) if not mirrored(one.hubs[0])]
    if mirror_only():
        lacking = [f"the mirror lacks {one.name}; put it there, or unset {MIRROR_ONLY_SETTING}" for one in read]
        return [*lacking, *_judges(study, refs)]
    left = [one for one in read if one.unpinned]
    problems = [not_locked(left, selection)] if left else []
    lock = load_lock(lock_file())
    gated = [one for one in read if one.gated or (one.key in lock and lock[one.key].gated)]
    if gated and not has_token():
        problems += [f"{one.name} is gated: ask for access at {page(one.hubs[0])} and set HF_TOKEN" for one in gated]
    return [*problems, *_judges(study, refs)]


def to_lock(study: Study, refs: Iterable[Ref]) -> list[Repository]:
    """The repositories that these cells would read and that the lock lacks, if the hub or a mirror has them."""
    return [one for one in unlocked(repositories(study, refs)) if mirrored(one.hubs[0]) or not mirror_only()]


def not_locked(missing: list[Repository], selection: Selection) -> str:
    """One message that lists all of them and the command that locks them."""
    lists = []
    for lacking, some in (
        ("no revision", [one.name for one in missing if one.unpinned]),
        ("no file hashes in the lock", [one.name for one in missing if not one.unpinned]),
    ):
        if some:
            many = f"{len(some)} repositories have" if len(some) > 1 else "1 repository has"
            lists.append(f"{many} {lacking}: {', '.join(some)}")
    return f"{'; '.join(lists)}; resolve: {lock_command(selection)}"


def lock_command(selection: Selection) -> str:
    """What a person types to lock what a selection needs."""
    options = [("--run", selection.runs), ("--step", selection.steps), ("--partition", selection.partitions)]
    filters = [f"{option} {shlex.quote(str(value))}" for option, values in options for value in values]
    return " ".join(["rsft lock", str(selection), *filters])


def _judges(study: Study, refs: Iterable[Ref]) -> list[str]:
    judges, problems = judge_specs(), []
    for name in dict.fromkeys(ref.benchmark for ref in refs if ref.stage == "scores"):
        roles = ROLES.get(study.benchmarks[name].task, {})
        if missing := [role for role, judge in roles.items() if judge.required and role not in judges]:
            lacking = ", ".join(missing)
            problems.append(f'{name} will be "not run": no judge for {lacking}; name one in {JUDGES_SETTING}')
        elif "harm" in roles and (problem := missing_rubric()):
            problems.append(f'{name} under "authors" will be "not run": {problem}')
    return problems
