"""Can this number be trusted? What is missing, cut, undecided, mixed or broken, and what the verification was worth."""

from rsft_assets.steps.report.answer import Answer, Rows, Tables
from rsft_assets.steps.report.phrases import capitalised, count_of, listed, percent
from rsft_assets.steps.results.publishing import Results


def trusted(tables: Tables, results: Results | None) -> Answer:
    """Coverage, undecided and cut samples, versions, problems and tests."""
    answer = Answer("trusted", "Can these numbers be trusted?", figures=("reproduction_gap", "training_curves"))
    answer.table = "marts.benchmark_scores"
    answer.columns = {
        **{"run": "run", "step": "step", "title": "benchmark", "grader": "grader", "value": "score", "low": "low"},
        **{"high": "high", "items": "items", "samples": "samples", "undecided_rate": "undecided"},
        **{"truncation_rate": "truncated", "benchmark_version": "version", "score_digest": "digest", "trace": "trace"},
    }
    scores = tables.ask(
        "SELECT * FROM marts.benchmark_scores WHERE study = $study AND is_headline ORDER BY run, title, grader, step"
    )
    answer.rows = [row | {"value": row["instead"]} if row["instead"] else row for row in scores]
    _coverage(tables, answer)
    known = [row for row in scores if row["state"] == "scored"]
    if known:
        samples = sum(row["samples"] for row in known)
        undecided = sum(row["undecided"] for row in known) / samples
        cut = max(known, key=lambda row: row["truncation_rate"])
        sentence = (
            f"{count_of(len(known), 'score')}, each with its interval, stand{'s' if len(known) == 1 else ''} on "
            f"{samples:,} graded samples, of which {percent(undecided)} could not be decided and count neither for nor "
            "against."
        )
        if cut["truncation_rate"]:
            sentence += (
                f" The token limit cut at most {percent(cut['truncation_rate'])} of a score's answers ({cut['run']} "
                f"at step {cut['step']} on {cut['title']})."
            )
        answer.sentences.append(sentence)
    _graders(known, answer)
    _data(tables, answer)
    _gaps(tables, answer)
    left = tables.ask("SELECT place, problem, $study AS study FROM marts.problems")
    answer.missing += [f"Left out: {row['place']}: {row['problem']}." for row in left[:10]]
    if results is not None:
        bad = [test.name for test in results.tests if test.state == "failed"]
        warned = [test.name for test in results.tests if test.state == "warned"]
        passed = sum(test.state == "passed" for test in results.tests)
        answer.sentences.append(f"{passed} of {len(results.tests)} tests over the tables pass.")
        answer.short += f" {passed} of {len(results.tests)} tests of the tables pass."
        answer.missing += [f"Failed: {listed(bad)}."] if bad else []
        answer.missing += [f"Worth knowing: {listed(warned)}."] if warned else []
    return answer


def _coverage(tables: Tables, answer: Answer) -> None:
    rows = tables.ask(
        "SELECT coalesce(instead, state) AS state, count(*) AS n FROM marts.coverage WHERE study = $study "
        "GROUP BY ALL ORDER BY n DESC, state"
    )
    counts = {row["state"]: row["n"] for row in rows}
    total = sum(counts.values())
    answer.sentences.append(f"Of {total:,} declared scores, {counts.get('scored', 0):,} are made and scored.")
    answer.short = f"{counts.get('scored', 0):,} of the {total:,} declared scores have been made."
    left = {state: n for state, n in counts.items() if state != "scored"}
    if left:
        answer.missing.append("The others: " + ", ".join(f"{n:,} {state}" for state, n in left.items()) + ".")
    reasons = tables.ask(
        "SELECT coalesce(instead, state) AS state, reason, "
        "string_agg(DISTINCT benchmark, ', ' ORDER BY benchmark) AS of "
        "FROM marts.coverage WHERE study = $study AND reason <> '' GROUP BY ALL ORDER BY ALL"
    )
    answer.missing += [f"{capitalised(row['state'])}: {row['of']} ({row['reason']})." for row in reasons]
    waiting = tables.ask(
        "SELECT split_part(waiting_for, '/', 1) AS what, count(*) AS n FROM marts.coverage "
        "WHERE study = $study AND waiting_for IS NOT NULL GROUP BY what ORDER BY n DESC"
    )
    if waiting:
        answer.missing.append("They wait for: " + ", ".join(f"{row['what']} ({row['n']:,})" for row in waiting) + ".")


def _graders(known: Rows, answer: Answer) -> None:
    by = {(row["run"], row["step"], row["benchmark"], row["grader"]): row for row in known}
    pairs = [(row, by.get((*key[:3], "authors"))) for key, row in by.items() if key[3] == "strict"]
    shares = [(s, a) for s, a in pairs if a is not None and s["unit"] == "share"]
    # Rounded, since 0.05 - 0.03 is a little more than 0.02.
    apart = [(s, a) for s, a in shares if round(abs(s["value"] - a["value"]), 9) > 0.02]
    if pairs:
        sentence = "The two graders, strict and the authors', differ by more than 2 points in "
        sentence += f"{len(apart)} of {len(pairs)} scores"
        if apart:
            strict, authors = max(apart, key=lambda pair: abs(pair[0]["value"] - pair[1]["value"]))
            sentence += (
                f"; most for {strict['run']} at step {strict['step']} on {strict['title']}: {percent(strict['value'])} "
                f"against {percent(authors['value'])}"
            )
        answer.sentences.append(sentence + ".")


def _data(tables: Tables, answer: Answer) -> None:
    """What verification was worth for every set that is made."""
    rows = tables.ask(
        "SELECT dataset, stage, share FROM marts.data_yield WHERE study = $study AND state = 'counted' "
        "AND stage IN ('rows of the set', 'rows judged correct', 'responses undecided', 'responses wrong', "
        "'responses unparseable')"
    )
    for dataset in sorted({row["dataset"] for row in rows if row["stage"] == "rows of the set"}):
        shares = {row["stage"]: row["share"] for row in rows if row["dataset"] == dataset}
        correct = shares.get("rows judged correct")
        finding = (
            "its rows were not judged" if correct is None else f"{percent(correct)} of its rows were judged correct"
        )
        if "responses wrong" in shares:
            finding += (
                f"; of the responses behind it, {percent(shares['responses wrong'])} were wrong, "
                f"{percent(shares.get('responses unparseable'))} without a readable answer and "
                f"{percent(shares.get('responses undecided'))} undecided"
            )
        answer.sentences.append(f"{dataset}: {finding}.")


def _gaps(tables: Tables, answer: Answer) -> None:
    rows = tables.ask(
        "SELECT class, count(*) AS n, count(*) FILTER (seed_spread = 'measured') AS measured, "
        "max(seed_sd) FILTER (seed_spread = 'assumed') AS assumed "
        "FROM marts.reproduction_gap WHERE study = $study GROUP BY class ORDER BY n DESC"
    )
    if not rows:
        return
    both = [row for row in rows if not row["class"].startswith("not available")]
    if both:
        measured = count_of(sum(row["measured"] for row in both), "cell")
        assumed = max((row["assumed"] for row in both if row["assumed"] is not None), default=None)
        elsewhere = f" and taken as {percent(assumed)} elsewhere" if assumed is not None else ""
        answer.sentences += [
            "Beside the paper's numbers, the gaps are: "
            + ", ".join(f"{row['n']} {row['class']}" for row in both)
            + ".",
            "The intervals of these gaps hold items and, where ours was trained here, one training seed on each side. "
            f"The spread between seeds is measured in {measured}{elsewhere}.",
            "Training here departs from the authors' in one thing, the cause called precision: fp32 master weights, "
            "where they trained in pure bf16, as the runs named bf16-pure do.",
        ]
    answer.missing += [f"{row['n']} cells beside the paper's: {row['class']}." for row in rows if row not in both]
