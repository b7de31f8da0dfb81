"""Names in a finished text, replaced by their titles: `lr5e-5_ep8_bs256` reads `Setting 1`.

Sentences are written with names, which are unambiguous; only what people see is replaced. Commands keep names.
"""

import html
import re
from collections.abc import Callable, Mapping

_KEPT = re.compile(r"(<(svg|code|style|title)\b.*?</\2>|<[^>]*>)", re.DOTALL)
_UNLIKE_A_WORD = re.compile(r"[-_.\d]")
"""A set named `all` is left as it is: in a sentence it cannot be told from the word."""


def titled_html(page: str, titles: Mapping[str, str]) -> str:
    """A page whose texts show titles; the pointer on one shows the name."""
    parts, place = [], 0
    replace = _replacing(titles, lambda name: f'<abbr title="{name}">{html.escape(titles[name])}</abbr>')
    for kept in _KEPT.finditer(page):
        parts += [replace(page[place : kept.start()]), kept[0]]
        place = kept.end()
    return "".join((*parts, replace(page[place:])))


def titled(text: str, titles: Mapping[str, str]) -> str:
    """A text that shows titles."""
    return _replacing(titles, titles.__getitem__)(text)


def _replacing(titles: Mapping[str, str], shown: Callable[[str], str]) -> Callable[[str], str]:
    names = [name for name, title in titles.items() if name != title and _UNLIKE_A_WORD.search(name)]
    if not names:
        return str
    either = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    pattern = re.compile(rf"(?<![\w./-])(?:{either})(?![\w/-]|\.\w)")
    return lambda text: pattern.sub(lambda found: shown(found[0]), text)
