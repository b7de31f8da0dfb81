"""Whether each run has trained too little, enough or too much: a coloured and lettered cell for each benchmark."""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Patch, Rectangle

from rsft_assets.steps.figures import style
from rsft_assets.steps.figures.style import GREY, TINTS, Rows, by

LOOKS = {
    "under-fitted": ("U", TINTS[0]),
    "optimal": ("O", TINTS[2]),
    "over-fitted": ("X", TINTS[1]),
    "undecided": ("?", TINTS[6]),
    "not available": ("–", "white"),
}


def draw(rows: Rows, study: str) -> Canvas | None:
    """The figure, or None where no run has a scored step; runs without any are counted under it."""
    known = [row for row in rows if not row["regime"].startswith("not available")]
    runs = list(by(known, "source", "run"))
    if not runs:
        return None
    # A run may stand here twice, as ours and as published: it has no score only where it has neither.
    missing = len({row["run"] for row in rows} - {run for _, run in runs})
    benchmarks = by(style.in_group_order(rows), "benchmark")
    size = (3.9 + 0.82 * len(benchmarks), 1.3 + 0.27 * len(runs))
    canvas, axes = plt.subplots(figsize=size, layout="constrained")
    cells = {(row["source"], row["run"], row["benchmark"]): row["regime"] for row in rows}
    for y, (source, run) in enumerate(runs):
        for x, benchmark in enumerate(benchmarks):
            regime = cells.get((source, run, benchmark), "not available").split(":")[0]
            letter, colour = LOOKS[regime]
            axes.add_patch(Rectangle((x - 0.47, -y - 0.45), 0.94, 0.9, facecolor=colour, edgecolor=GREY, linewidth=0.5))
            axes.text(x, -y, letter, ha="center", va="center", fontsize=8)
    axes.set_xlim(-0.6, len(benchmarks) - 0.4)
    axes.set_ylim(-len(runs) + 0.4, 0.6)
    titles = [own[0]["title"] or name for name, own in benchmarks.items()]
    axes.set_xticks(range(len(benchmarks)), titles, rotation=35, ha="left")
    axes.xaxis.tick_top()
    axes.set_yticks(
        [-y for y in range(len(runs))],
        [f"{style.title_of(run)}{' *' if source == 'paper' else ''}" for source, run in runs],
        fontsize=7,
    )
    axes.tick_params(length=0)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    patches = [Patch(facecolor=c, edgecolor=GREY, label=f"{letter} {name}") for name, (letter, c) in LOOKS.items()]
    canvas.legend(handles=patches, loc="outside upper center", ncols=3)
    style.note(canvas, _words(missing, any(s == "paper" for s, _ in runs)), int(13 * size[0]))
    return canvas


def _words(missing: int, published: bool) -> str:
    caption = (
        "By the level at the end, beyond noise after corrections for having picked the steps (max-T) and for the "
        "number of runs and benchmarks (Holm). Optimal: above the base and not below the best step. Over-fitted: "
        "below a trained step that was above the base. Under-fitted: "
        "below the base, with no step above it; a level cannot tell a dip from a lasting loss. Undecided: not told "
        "from the base, fewer than three trained steps, or no interval."
    )
    caption += " * the paper's published numbers." if published else ""
    return caption + (f" Declared runs without any score: {missing}, not available." if missing else "")
