"""What people read in place of names: `Setting 1, Math-CoT-20k`. For display only; no identity depends on a title."""

from dataclasses import replace
from typing import TYPE_CHECKING

from rsft_assets.specs.errors import SpecError
from rsft_assets.specs.training import Run

if TYPE_CHECKING:
    from rsft_assets.specs.study import Study


def titles_of(study: "Study", member: str) -> dict[str, str]:
    """Name -> title of one study's benchmarks, schedules and training sets; what has no title keeps its name."""
    runs = [run for run in study.runs.values() if study.member_of[("runs", run.name)] == member]
    # One schedule may be declared twice, once without its title.
    titles = {
        name: one.title for name, one in study.benchmarks.items() if study.member_of["benchmarks", name] == member
    }
    titles |= {run.schedule.name: run.schedule.name for run in runs}
    titles |= {run.schedule.name: run.schedule.title for run in runs if run.schedule.title}
    return titles | {run.dataset: study.datasets[run.dataset].title or run.dataset for run in runs}


def run_title(titles: dict[str, str], run: Run) -> str:
    """`Setting 1, Math-CoT-20k, seed 2`: a run beside others of its model."""
    return f"{titles[run.schedule.name]}, {titles[run.dataset]}" + ("" if run.seed == 1 else f", seed {run.seed}")


def with_runs(study: "Study", titles: dict[str, str]) -> dict[str, str]:
    """The same with each run, `qwen3-14b (Setting 1, Math-CoT-20k)`, and each arm, named as its run of seed 1."""
    known = [run for run in study.runs.values() if {run.schedule.name, run.dataset} <= titles.keys()]
    named = (one for run in known for one in (replace(run, seed=1), run))
    return titles | {run.name: f"{run.model} ({run_title(titles, run)})" for run in named}


def with_words(study: "Study", titles: dict[str, str]) -> dict[str, str]:
    """The same with what each schedule is, for legends: `Setting 1: 8 epochs, batch 256, rate 5e-5`."""
    descriptions = {run.schedule.name: run.schedule.words for run in study.runs.values() if run.schedule.name in titles}
    return titles | {name: w if titles[name] == name else f"{titles[name]}: {w}" for name, w in descriptions.items()}


def check_titles(study: "Study") -> None:
    """Refuse a title that two things of one study would share: readers could not tell them apart."""
    for member in dict.fromkeys(study.member_of.values()):
        names: dict[str, str] = {}
        for name, title in titles_of(study, member).items():
            if (other := names.setdefault(title, name)) != name:
                raise SpecError(
                    f"{name!r} and {other!r} of the {member} study: field title: both are {title!r}; give each its own"
                )
