"""The report as one HTML file that needs nothing beside it: no script, no font, no picture from elsewhere.

Only the pictures of single models are linked, in the folder of their figure.
"""

import html
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rsft_assets.specs.lineage import TABLE_OF
from rsft_assets.steps.report.answer import Answer
from rsft_assets.steps.report.phrases import p_value
from rsft_assets.steps.report.score_table import ScoreTable

MOST_ROWS = 300
_STYLE = """
body{font:15px/1.55 system-ui,sans-serif;max-width:68rem;margin:2rem auto;padding:0 1rem;color:#1c1c1c}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.2rem;margin-top:2.6rem;border-bottom:1px solid #ddd}
.said{margin:.5rem 0}.missing{margin:.5rem 0;padding:.1rem .8rem;border-left:3px solid #d55e00;background:#fdf5ef}
figure{margin:1rem 0;overflow-x:auto}figure svg{max-width:100%;height:auto}
figcaption,.small{color:#666;font-size:.85rem}
dt{font-weight:600;margin-top:.45rem}dd{margin:0 0 0 1rem}.none{color:#767676}.short{font-size:1.05rem}
dt a{color:inherit}
abbr{text-decoration:underline dotted #bbb}
.up{color:#00694b}.down{color:#b34700}.scores{max-height:26rem;margin-top:1rem}
.scores th,.scores td{padding:.15rem .35rem}.scores th{white-space:normal;vertical-align:bottom}
details{margin:.6rem 0}summary{cursor:pointer}
table{border-collapse:collapse;font-size:.8rem;font-variant-numeric:tabular-nums}
th,td{padding:.15rem .55rem;border-bottom:1px solid #eee;text-align:right;white-space:nowrap}
th{position:sticky;top:0;background:#fff}
th:first-child,td:first-child,th.t,td.t{text-align:left}code{font-size:.78rem;background:#f4f4f4;padding:0 .2rem}
.scroll{overflow-x:auto;max-height:32rem;overflow-y:auto}
"""


_NEXT = """<p>Next: <code>rsft plan 'scores/MODEL/*' --upstream</code> says what more scores would cost,
<code>rsft materialize</code> makes them, <code>rsft trace</code> with an asset and a partition leads from a number to
its rows, and <code>rsft report</code> writes this page again.</p>"""


def page(
    title: str,
    about: list[str],
    answers: list[Answer],
    pictures: dict[str, Path],
    receipt: dict[str, str],
    *,
    scores: ScoreTable | None = None,
    first: str = "",
    lead: str = "",
) -> str:
    """The whole document; `pictures` maps a figure to its SVG, `first` and `lead` stand above all, `receipt` last."""
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style><h1>{html.escape(title)}</h1>',
        f'<p class="missing">{html.escape(first)}</p>' if first else "",
        f"<p>{html.escape(lead)}</p>" if lead else "",
        *_first_screen(answers, scores),
    ]
    shown: set[str] = set()
    if "overview" in pictures:
        parts += _figure("overview", pictures, shown)
    parts.append(_NEXT)
    parts.append(_folded("How to read this page", [f"<p>{html.escape(paragraph)}</p>" for paragraph in about]))
    for answer in answers:
        parts += _section(answer, pictures, shown)
    rows = "".join(
        f"<tr><td>{html.escape(k)}</td><td class=t><code>{html.escape(v)}</code></td></tr>" for k, v in receipt.items()
    )
    parts.append(
        f"<h2>Receipt</h2><p>Check it again with <code>rsft report --check</code>.</p><table>{rows}</table></html>"
    )
    return "\n".join(parts)


def _first_screen(answers: list[Answer], scores: ScoreTable | None) -> list[str]:
    """One line for each question, and the scores."""
    lines = "".join(
        f'<dt><a href="#{answer.name}">{html.escape(answer.question)}</a></dt>'
        + (f"<dd>{_lines(answer.short)}</dd>" if answer.short else f'<dd class="none">{_without(answer)}</dd>')
        for answer in answers
    )
    return [f"<dl>{lines}</dl>", *([scores.as_html()] if scores and scores.lines else [])]


def _lines(text: str) -> str:
    return html.escape(text).replace("\n", "<br>")


def _without(answer: Answer) -> str:
    return html.escape(answer.missing[0] if answer.missing else "Nothing is known yet.")


def _folded(title: str, parts: list[str]) -> str:
    return f"<details><summary>{html.escape(title)}</summary>{''.join(parts)}</details>" if parts else ""


def _section(answer: Answer, pictures: dict[str, Path], shown: set[str]) -> list[str]:
    heading = f'<h2 id="{answer.name}">{html.escape(answer.question)}</h2>'
    missing = [f'<p class="missing">{html.escape(line)}</p>' for line in answer.missing]
    if not answer.sentences:
        empty = [heading, f'<p class="none">{_without(answer)}</p>', _folded("What is missing", missing[1:])]
        return [*empty, _table(answer)] if answer.rows else empty
    parts = [heading, f'<p class="short">{_lines(answer.short)}</p>' if answer.short else ""]
    for figure in answer.figures:
        if figure in pictures and figure not in shown:
            parts += _figure(figure, pictures, shown)
    said = [f'<p class="said">{html.escape(sentence)}{_traced(answer, sentence)}</p>' for sentence in answer.sentences]
    parts.append(_folded("In detail, with intervals", [*said, *missing]))
    if answer.rows:
        parts.append(_table(answer))
    return parts


def _figure(name: str, pictures: dict[str, Path], shown: set[str]) -> list[str]:
    shown.add(name)
    picture = pictures[name]
    _, start, drawing = picture.read_text(encoding="utf-8").partition("<svg ")
    # The way from this page, also where `rsft dev` serves both.
    models = ", ".join(
        f'<a href="../../{quote("/".join(file.parts[-4:]))}">{html.escape(file.stem.partition(".")[2])}</a>'
        for file in sorted(picture.parent.glob(f"{picture.stem}.*.svg"))
    )
    return [
        f'<figure>{start}role="img" aria-label="{html.escape(name)}" {drawing}'
        f"<figcaption>figures/{html.escape(name)}: <code>rsft trace figures/{html.escape(name)}</code>"
        f"{f'. All of each model: {models}' if models else ''}</figcaption></figure>"
    ]


def _traced(answer: Answer, sentence: str) -> str:
    place = answer.traces.get(sentence)
    return f" <code>{html.escape(trace_command(place))}</code>" if place else ""


def trace_command(place: str) -> str:
    """What to type to follow `place`, an asset or table with its partition or columns in brackets."""
    asset, _, partition = place.removesuffix("]").partition("[")
    # The paper's own places may end in a remark in brackets.
    if not place.endswith("]") or not asset.startswith(("marts.", *(f"{stage}/" for stage in TABLE_OF))):
        return f"published: {place}"
    return f"rsft trace {asset} '{partition}'"


def _table(answer: Answer) -> str:
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in answer.columns.values())
    body = "".join(
        "<tr>" + "".join(_cell(name, row.get(name), row.get("unit")) for name in answer.columns) + "</tr>"
        for row in answer.rows[:MOST_ROWS]
    )
    more = (
        f"<p class=small>The first {MOST_ROWS} of {len(answer.rows):,} rows.</p>"
        if len(answer.rows) > MOST_ROWS
        else ""
    )
    return (
        f"<details><summary>{len(answer.rows):,} rows of <code>{html.escape(answer.table)}</code></summary>"
        f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>{more}</details>'
    )


_SHARES = ("value", "low", "high", "seed_mean")
# Differences of shares are in points: -14 % of 70 % would be another number.
_POINTS = ("gain", "difference", "depth", "harm", "over_twin", "fall", "rise", "erosion")
_POINTS_ENDS = tuple(f"{name}_{end}" for name in _POINTS for end in ("low", "high"))
_COUNTS = ("growth_low", "growth_high")


def _cell(name: str, value: Any, unit: Any) -> str:
    if value is None:
        return "<td>–</td>"
    if name == "trace":
        return f"<td class=t><code>{html.escape(trace_command(str(value)))}</code></td>"
    if name.endswith("digest"):
        return f"<td><code>{html.escape(str(value)[:12])}</code></td>"
    if isinstance(value, float):
        return f"<td>{_number(name, value, unit)}</td>"
    return f"<td class=t>{html.escape(str(value))}</td>" if isinstance(value, str) else f"<td>{value}</td>"


def _number(name: str, value: float, unit: Any) -> str:
    if name.endswith("_p"):
        return html.escape(p_value(value))
    shares = unit in (None, "share") and name not in _COUNTS
    if shares and name.endswith(_POINTS + _POINTS_ENDS):
        return f"{100 * value:z.1f} pp" if name == "depth" else f"{100 * value:+z.1f} pp"
    if name.endswith("rate") or (shares and name.endswith(_SHARES)):
        return f"{100 * value:z.1f} %"
    return f"{value:z,.1f}" if unit == "tokens" else f"{value:z.3g}"
