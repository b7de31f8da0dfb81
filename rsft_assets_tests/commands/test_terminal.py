"""What a terminal shows while batches run."""

import io

import pytest
from rich.console import Console

from rsft_assets.commands.terminal import Display
from rsft_assets.steps.questions.planning.batches import Batch

BATCHES = [Batch(("base_models/a",)), Batch(("checkpoints/a",), ("run|1", "run|2"))]


def progress(what, done, total=40):
    return {
        **{"event": "progress", "what": what, "done": done, "total": total, "unit": "steps", "rate": 2.0},
        **{"eta_seconds": 3.0, "note": ""},
    }


def shown(display):
    """The bars as they stand, a line each."""
    out = Console(file=io.StringIO(), force_terminal=True, width=120, no_color=True)
    out.print(display.bars.get_renderable())
    return [line for line in out.file.getvalue().splitlines() if line.strip()]


@pytest.fixture
def display():
    with Display(BATCHES, Console(file=io.StringIO(), force_terminal=True, width=120, highlight=False)) as opened:
        yield opened


def test_each_piece_of_work_has_a_bar_until_it_is_done(display):
    display.start(1)
    for what, done in (("run [a]", 5), ("run b", 7), ("run [a]", 9)):
        display.watch(progress(what, done))
    whole, first, second = shown(display)
    assert "1/2" in whole
    assert "run [a]" in first and "9/40" in first
    assert "run b" in second and "7/40" in second
    display.watch(progress("run [a]", 40))
    assert [line for line in shown(display) if "run" in line] == [shown(display)[1]]
    assert "run b" in shown(display)[1]
    display.watch(progress("nobody knows how many", 3, total=0))
    assert len(shown(display)) == 3, "work without a known end keeps its bar"
    display.end(BATCHES[1], "")
    assert len(shown(display)) == 1
    assert "checkpoints/a: nothing to do" in display.console.file.getvalue()


def test_what_was_not_begun_is_not_done(display):
    display.start(0)
    display.end(BATCHES[0], "sums at 20%, the gate asks for 60%")
    assert display.totals() == "2 of 2 not done"


def test_a_log_file_has_plain_lines_and_no_bar():
    with Display(BATCHES, Console(file=io.StringIO(), width=120, highlight=False)) as display:
        display.watch(progress("run a", 5))
        display.watch(progress("run a", 40))
    assert display.console.file.getvalue().splitlines() == ["  run a: 40/40 steps, 2/s, 3 s left"]
