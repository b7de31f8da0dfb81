r"""Formulas of many shapes that the nursery reads before it forks, so that no worker meets them first.

Comes in: a judge. Goes out: nothing; ANTLR's tables, compiled patterns and lazily imported modules stay in memory that
all workers share. ANTLR learns its decisions from what it reads: a formula of a new shape costs ten times what the
second of that shape costs.
"""

from rsft_assets.steps.verifier.formulas import read_formula
from rsft_assets.steps.verifier.math_answers import MathJudge

_ATOMS = ("3", "-2", "x", "0.25", "1,000", r"\pi", "e", "i", "n!", "a_{1}", "x_n", r"x^{2}", r"2^n", "3x", "xy", r"5^\circ")
_SHAPES = (
    r"\frac{@}{@}", r"-\frac{@}{@}", r"\sqrt{@}", r"@\sqrt{@}", r"\frac{@\sqrt{@}}{@}", r"\sqrt[3]{@}", "@+@", "@-@",
    r"@ \cdot @", r"@ \times @", "@/@", "(@)", "(@, @)", "[@, @)", "(@, @, @)", "@, @", "@,@,@", r"\{@, @\}", "@=@",
    "@ = @ + @", r"@ \le @", r"@ < @ < @", r"@ \geq @", r"(@, @) \cup (@, @)", r"(-\infty, @]", r"|@|", "@^{@}", "@^@",
    r"\frac{@+@}{@-@}", r"@(@+@)", r"(@+@)(@-@)", r"\sin(@)", r"\cos @", r"\tan{@}", r"\ln(@)", r"\log_{2}(@)", r"e^{@}",
    r"\arctan(@)", r"\binom{@}{@}", r"@\%", r"f(x)=@", r"y=@x+@", r"x=@, y=@", r"@x^2+@x+@=0", r"\text{yes}", "A",
    r"\text{@ units}", r"\begin{pmatrix} @ \\ @ \end{pmatrix}", r"\begin{pmatrix} @ & @ \\ @ & @ \end{pmatrix}",
    r"@ \pm @", r"\frac{@}{@} \pi", r"@ \pi", r"\lfloor @ \rfloor", r"\overline{@}", r"\infty", r"@ \in \{@, @\}",
    r"\frac{@}{@}+\frac{@}{@}", r"\frac{\frac{@}{@}}{@}", r"\sqrt{@+@\sqrt{@}}", r"\sum_{k=1}^{n} @", r"\int_{0}^{1} @ dx",
    r"(@, @), (@, @)", r"@ \sin @ + @ \cos @", r"@ : @", r"@^{@/@}", r"(@)^{@}", r"\frac{@^{@}}{@}", r"@_{10}", r"\emptyset",
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
