"""What each training set keeps of its queries and responses: a panel for each set, a bar for each stage."""

from matplotlib.figure import Figure as Canvas

from rsft_assets.steps.figures import style
from rsft_assets.steps.figures.style import GREY, TINTS, Rows, by


def draw(rows: Rows, study: str) -> Canvas | None:
    """The figure, or None where no set was made."""
    sets = by(rows, "dataset").items()
    panels = {name: own for name, own in sets if any(row["stage"] == "rows of the set" for row in own)}
    if not panels:
        return None
    stages = max(len(own) for own in panels.values())
    canvas, grid = style.grid_of(len(panels), most=2, width=4.8, height=2.9)
    for axes, (dataset, panel) in zip(grid, panels.items(), strict=True):
        most = max(row["amount"] for row in panel)
        for y, row in enumerate(panel):
            of_responses = row["stage"].startswith("responses")
            colour = TINTS[6] if of_responses else TINTS[0]
            axes.barh(-y, row["amount"], color=colour, height=0.7)
            share = f"  ({100 * row['share']:.1f} % of {row['of_stage']})" if row["share"] is not None else ""
            axes.text(row["amount"] + most * 0.01, -y, f"{row['amount']:,}{share}", va="center", fontsize=7, color=GREY)
        axes.set_yticks([-y for y in range(len(panel))], [row["stage"] for row in panel])
        axes.set_xlim(0, most * 1.55)
        axes.set_ylim(0.6 - stages, 0.6)
        axes.set_title(style.title_of(dataset), fontweight="bold")
        axes.grid(visible=False)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
    style.note(canvas, "Counts of queries and rows (blue) and of responses (grey).")
    return canvas
