r"""Formulas of many shapes that the fork server reads before it forks, so that no worker meets them first.

Comes in: a judge. Goes out: nothing; ANTLR's tables, compiled patterns and lazily imported modules stay in memory that
all workers share. ANTLR caches its decisions: the first formula of a shape costs ten times what the
second one costs.
"""

from rsft_assets.steps.verdicts.verifier.formulas import read_formula
from rsft_assets.steps.verdicts.verifier.math_answers import MathJudge

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
_FORMULAS = (
    "3x^2-2x-7", r"\frac{2x^2+3x+1}{5}", "x^3 + 2x^2 - x + 5", "(x-1)(x+2)", "[-2, 7]", r"x \in [-2, 7]",
    "y = -2x", r"b = \frac{m}{2}", r"\frac{8}{\sqrt[3]{7}}", r"(\frac{1}{2}, -\frac{3}{4})", "C e^{-2t} + 1",
    r"1 + \sqrt{2}, 1 - \sqrt{2}", r"\log_2(x+1)", r"x < -2 \text{ or } x > 3", r"2 \cdot 3^{n-1}", "40_9",
)  # fmt: skip


def warm_up(judge: MathJudge) -> None:
    """Read every shape, and judge one answer in full."""
    for text in (*map(_filled, range(len(_SHAPES)), _SHAPES), *_FORMULAS):
        try:
            read_formula(text)
        except Exception:  # a shape that the grammar refuses fills the caches as well
            continue
    judge.judge(r"\frac{x}{2}", r"The final answer is $\boxed{\frac{x+1}{3}}$. So the answer is \(2\).")


def _filled(number: int, shape: str) -> str:
    for place in range(shape.count("@")):
        shape = shape.replace("@", _ATOMS[(number + 5 * place) % len(_ATOMS)], 1)
    return shape
