r"""Formulas of many shapes that the nursery reads before it forks, so that no worker meets them first.

Comes in: a judge. Goes out: nothing; ANTLR's tables, compiled patterns and lazily imported modules stay in memory that
all workers share. ANTLR learns its decisions from what it reads: a formula of a new shape costs ten times what the
second of that shape costs.
"""

from rsft_assets.steps.verifier.formulas import read_formula
from rsft_assets.steps.verifier.math_answers import MathJudge

_ATOMS = (
    "3",
    "-2",
    "x",
    "0.25",
    "1,000",
    r"\pi",
    "e",
    "i",
    "n!",
    "a_{1}",
    "x_n",
    r"x^{2}",
    r"2^n",
    "3x",
    "xy",
    r"5^\circ",
)
_SHAPES = (
    r"\frac{@}{@}", r"-\frac{@}{@}", r"\sqrt{@}", r"@\sqrt{@}", r"\frac{@\sqrt{@}}{@}", "@+@", "@-@", r"@ \cdot @",
    "@/@", "(@, @)", "[@, @)", "@, @", r"\{@, @\}", "@ = @ + @", r"@ \le @", r"(@, @) \cup (@, @)", r"(-\infty, @]",
    "@^{@}",
    r"\frac{@+@}{@-@}", r"@(@+@)", r"\sin(@)", r"\ln(@)", r"@\%", "x=@, y=@", r"\text{yes}", r"@ \pi",
    r"\begin{pmatrix} @ \\ @ \end{pmatrix}",
)  # fmt: skip


def warm_up(judge: MathJudge) -> None:
    """Read every shape, and judge one answer in full."""
    for number, shape in enumerate(_SHAPES):
        text = shape
        for place in range(shape.count("@")):
            text = text.replace("@", _ATOMS[(number + 5 * place) % len(_ATOMS)], 1)
        try:
            read_formula(text)
        except Exception:  # a shape that the grammar refuses has taught it as much
            continue
    judge.judge(r"\frac{x}{2}", r"The final answer is $\boxed{\frac{x+1}{3}}$. So the answer is \(2\).")
