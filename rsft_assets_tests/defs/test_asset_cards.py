"""Cards: what a set's page shows, and that texts arrive there as they are."""

import html
import re

import pytest

from rsft_assets.defs.asset_cards import card
from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.steps.data_study import make_all, study


@pytest.fixture(scope="module")
def stats(tmp_path_factory, quick_verifier):
    return make_all(study(), Store(tmp_path_factory.mktemp("home")), "cot")["cot"].stats


def cells(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_a_set_shows_its_filters_lengths_rows_and_verdicts(stats):
    rows = cells(card(Ref("datasets/cot"), stats))
    for step in stats["filters"]:
        assert [step["filter"], str(step["removed"]), str(step["left"])] in rows
    shown = sum(int(row[2]) for row in rows if "█" in row[1])
    assert shown == stats["rows"] == 40
    assert "Verdicts: correct 40" in card(Ref("datasets/cot"), stats)
    assert len(rows) == len(stats["filters"]) + len(stats["length_histogram"]) + 4


def test_sample_rows_are_shown_literally(stats):
    parts = card(Ref("datasets/cot"), stats).split("\n\n")[-9:]
    assert len(stats["sample_rows"]) == 3
    for number, row in enumerate(stats["sample_rows"]):
        for part, name in zip(parts[3 * number : 3 * number + 3], ("question", "answer", "response"), strict=True):
            shown = part.removeprefix(f"**{name.capitalize()}** ")
            assert shown != part and not re.search(r"[<>`*_\[\]\\$]", shown)
            assert html.unescape(shown) == row[name].replace("\n", " ⏎ ")


def test_what_could_not_be_checked_is_said():
    words = card(Ref("datasets/cot"), {"rows": 1, "decontamination": {"unchecked": ["gpqa_diamond"]}})
    assert "Not checked for contamination" in words and "gpqa_diamond" in words


def test_a_benchmark_without_access_and_its_scores_say_so():
    why = {"reason": "ask for it at https://example.org"}
    for asset, stats in (("benchmarks/b", {"access": "none", **why}), ("scores/m/b", {"state": "no-access", **why})):
        assert card(Ref(asset), stats) == "**No access**: ask for it at https://example.org"
    assert card(Ref("benchmarks/b"), {"access": "open", "items": 3}) is None
    assert card(Ref("scores/m/b"), {"state": "scored", "reason": ""}) is None


def test_a_stage_without_a_card_has_none(stats):
    assert card(Ref("base_models/nano-300k"), stats) is None
