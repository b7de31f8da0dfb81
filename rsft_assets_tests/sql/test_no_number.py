"""Where a score has no number, every place that would show one says why: marts, report, asset metadata, demo table."""

import pytest
from rich.console import Console

from rsft_assets.commands.demo import _rows, _score_table
from rsft_assets.defs.recording import metadata_of
from rsft_assets.specs.benchmarks import GRADERS
from rsft_assets.steps.records.rows import write_rows
from rsft_assets.steps.report.page import page
from rsft_assets.steps.report.write import answers_of
from rsft_assets.steps.results.build import build_results
from rsft_assets.steps.results.publishing import open_results
from rsft_assets.steps.scores.grading.judges import missing_judges
from rsft_assets.steps.scores.grading.tally import unscored_rows
from rsft_assets.steps.scores.sandbox import isolation

RUN = "tiny-1m_tiny-cot_lr1e-3_ep4_bs16"


@pytest.fixture
def reasons(monkeypatch):
    """instead -> (state, reason), the reasons as the code gives them here without any of the three."""
    monkeypatch.delenv("RSFT_JUDGES", raising=False)
    monkeypatch.setattr(isolation.sys, "platform", "plan9")
    return {
        "no access": ("no-access", "no access: owner/name is gated"),
        "no judge": ("not-run", missing_judges(["harm"])),
        "no isolation": ("not-run", isolation.supported()),
        "undecided": ("undecided", "unreadable-judgement (3 of 3 samples)"),
    }


@pytest.fixture
def unscored(study, copied, reasons):
    """The finished study with a score in place of each reason; instead -> its output."""
    refs = [output.manifest.ref for output in copied.outputs() if output.manifest.ref.stage == "scores"]
    refs = sorted(ref for ref in refs if ref.run == RUN and ref.step)
    outputs = {}
    for (instead, (state, reason)), ref in zip(reasons.items(), refs, strict=False):
        metrics = study.benchmarks[ref.benchmark].metrics
        with copied.build(study, ref, force=True) as build:
            write_rows(build.folder / "graded.parquet", "graded", [])
            write_rows(build.folder / "scores.parquet", "scores", unscored_rows(GRADERS, metrics, state, reason))
            build.publish(stats={"state": state, "reason": reason, "value": None})
        outputs[instead] = build.output
    assert len(outputs) == len(reasons)
    assert build_results(study, copied).failures == ()
    return outputs


def test_every_place_says_why_there_is_no_number(copied, unscored, reasons):
    where = {output.manifest.ref: instead for instead, output in unscored.items()}
    with open_results(copied) as db:
        for table in ("marts.benchmark_scores", "marts.coverage"):
            found = db.execute(f"SELECT DISTINCT run, step, benchmark, instead FROM {table} WHERE run = ?", [RUN])
            said = {(step, benchmark): instead for _, step, benchmark, instead in found.fetchall() if instead}
            said = {key: instead for key, instead in said.items() if instead != "not made"}
            assert said == {(ref.step, ref.benchmark): instead for ref, instead in where.items()}
        [trusted] = [answer for answer in answers_of(db, "tiny") if answer.name == "trusted"]
    html = page("Report", [], [trusted], {}, {})
    console = Console(width=400)
    with console.capture() as shown:
        console.print(_score_table(_rows(copied, [RUN])))
    for instead, output in unscored.items():
        assert f"<td class=t>{instead}</td>" in html
        assert instead in shown.get()
        assert metadata_of(output)["value"] == instead
        others = next(words for words in trusted.missing if words.startswith("The others: "))
        assert f"1 {instead}" in others
        assert any(words.startswith(instead.capitalize()) and reasons[instead][1] in words for words in trusted.missing)
