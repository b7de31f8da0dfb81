"""What does the model change: its size, and what it has read before?"""

import math
from typing import Any

from rsft_assets.steps.report import phrases
from rsft_assets.steps.report.answer import (
    LEVEL,
    MOST,
    OURS,
    SKILLS,
    Answer,
    Ends,
    Rows,
    Tables,
    Test,
    arms,
    difference_of,
    one_seed,
)


def size(tables: Tables) -> Answer:
    """The same recipe on models of other sizes, and on models of one size that have read something else."""
    table = "marts.capability_curves"
    answer = Answer(
        "size", "What does the model change?", figures=("capability_curves", "base_comparison"), table=table
    )
    rows = arms(tables.ask(f"SELECT * FROM {table} WHERE {OURS} AND {SKILLS} AND gain IS NOT NULL"), table)
    answer.columns = {
        **{"dataset": "data", "model": "model", "parameters": "parameters", "mixture": "has read"},
        **{"title": "benchmark", "seeds": "seeds", "base_value": "base", **phrases.with_ends("arm_gain", "gain")},
        **{"best_step": "best step", "trace": "trace"},
    }
    recipes: dict[tuple[str, ...], Rows] = {}
    for row in rows:
        recipes.setdefault((row["dataset"], row["schedule"], row["family"]), []).append(row)
    pairs = [(key, one, other) for key, recipe in recipes.items() for one, other in _models_to_compare(recipe)]
    compared = {(*key, model) for key, one, other in pairs for model in (one, other)}
    answer.rows = [row for key, recipe in recipes.items() for row in recipe if (*key, row["model"]) in compared]
    if not pairs:
        answer.missing.append("No training set was used on two models of one family in this study.")
        return answer
    comparisons = [
        _beside(
            [row for row in recipes[key] if row["model"] == one],
            {row["benchmark"]: row for row in recipes[key] if row["model"] == other},
        )
        for key, one, other in pairs
    ]
    tests = [_test(row, theirs) for comparison in comparisons for row, theirs, _ in comparison]
    p = iter(tables.holm(tests) if tests else [])
    for (key, one, other), comparison in zip(pairs, comparisons, strict=True):
        first, second = (next(row for row in recipes[key] if row["model"] == model) for model in (one, other))
        _two_models(first, second, [(*compared, next(p)) for compared in comparison], answer)
    answer.missing.append(
        "Each model is one pretraining, and no interval here holds how another would have come out; models of two "
        "sizes may differ in more than size."
    )
    one_seed(answer, answer.rows)
    return answer


def _models_to_compare(rows: Rows) -> list[tuple[str, str]]:
    """The largest with the smallest of those that have read the same, and models of one size that have not."""
    models = {row["model"]: (row["mixture"] or "", row["parameters"]) for row in rows}
    pairs = []
    for mixture in sorted({mixture for mixture, _ in models.values()}):
        alike = sorted((parameters, name) for name, (read, parameters) in models.items() if read == mixture)
        if alike[0][0] < alike[-1][0]:
            pairs.append((alike[-1][1], alike[0][1]))
    names = sorted(models)
    for place, name in enumerate(names):
        for other in names[place + 1 :]:
            (read, parameters), (other_read, other_parameters) = models[name], models[other]
            if parameters == other_parameters and read != other_read:
                pairs.append((name, other))
    return pairs


def _beside(one: Rows, other: dict[str, dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any], Ends]]:
    """The two gains on each benchmark, and how far they are apart where that has an interval."""
    pairs = [(row, other[row["benchmark"]]) for row in one if row["benchmark"] in other]
    pairs.sort(key=lambda pair: pair[0]["position"])
    compared = ((row, theirs, difference_of(_ends(row), _ends(theirs))) for row, theirs in pairs)
    return [(row, theirs, apart) for row, theirs, apart in compared if apart]


def _test(one: dict[str, Any], other: dict[str, Any]) -> Test:
    """The difference of two gains that are taken as unrelated, with Satterthwaite's degrees of freedom."""
    a, b = one["arm_gain_se"] ** 2, other["arm_gain_se"] ** 2
    if a + b == 0:
        return 0.0, 1.0, 1
    freedom = (a + b) ** 2 / (a**2 / one["arm_gain_freedom"] + b**2 / other["arm_gain_freedom"])
    return (one["arm_gain_centre"] - other["arm_gain_centre"]) / math.sqrt(a + b), freedom, 1


def _two_models(
    first: dict[str, Any],
    second: dict[str, Any],
    comparisons: list[tuple[dict[str, Any], dict[str, Any], Ends, float]],
    answer: Answer,
) -> None:
    """The gains of two models from one recipe, benchmark by benchmark; a difference counts after Holm's correction."""
    more: list[str] = []
    less: list[str] = []
    same = 0
    for row, beside, apart, p in comparisons:
        finding = f"{row['title']} by {phrases.points(*apart, unit=row['unit'])}, p (Holm) {phrases.p_value(p)}"
        if row["unit"] == "share":
            finding += f", bases {phrases.percent(row['base_value'])} and {phrases.percent(beside['base_value'])}"
        if p <= LEVEL and apart[1] > 0:
            more.append(finding)
        elif p <= LEVEL and apart[2] < 0:
            less.append(finding)
        else:
            same += 1
    if not (more or less or same):
        answer.missing.append(f"No interval is known between {first['model']} and {second['model']}.")
        return
    answer.short += "\n" if answer.short else ""
    compared = phrases.count_of(len(more) + len(less) + same, "benchmark")
    answer.short += (
        f"Trained on {first['dataset']}, {first['model']} gains more (or loses less) than "
        f"{second['model']} on {len(more) or 'none'} and less on {len(less) or 'none'} of {compared}."
    )
    answer.say(
        f"{_of_base(first)} against {_of_base(second)}, both on {first['dataset']} ({first['schedule']}), over "
        f"{phrases.seeds_of([first, second])}: gains more on {phrases.listed(more, MOST) or 'none'}; less on "
        f"{phrases.listed(less, MOST) or 'none'}; not to be told apart on {same} of {compared}."
    )


def _of_base(row: dict[str, Any]) -> str:
    return f"{row['model']} ({row['mixture']})" if row["mixture"] else str(row["model"])


def _ends(row: dict[str, Any]) -> Ends:
    return row["arm_gain"], row["arm_gain_low"], row["arm_gain_high"]
