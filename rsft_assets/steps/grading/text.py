"""Parts of an answer: what follows the thinking, and the contents of its boxes."""

THINK_CLOSE = "</think>"
THINK_OPEN = "<think>"


def answer_part(text: str) -> str | None:
    """What follows the last `</think>`; all of a text that never thought; None where thinking never ended."""
    closed = text.rfind(THINK_CLOSE)
    if text.rfind(THINK_OPEN) > closed:
        return None
    return text if closed < 0 else text[closed + len(THINK_CLOSE) :]


def boxes(text: str) -> list[str]:
    """Contents of every `\\boxed{…}` whose braces close, in order; a box inside a box comes after its outer one."""
    found: list[str] = []
    start = text.find("\\boxed")
    while start >= 0:
        opening = start + len("\\boxed")
        while opening < len(text) and text[opening] == " ":
            opening += 1
        if text[opening : opening + 1] == "{":
            end = _closing(text, opening)
            if end is not None:
                found.append(text[opening + 1 : end])
        start = text.find("\\boxed", start + 1)
    return found


def _closing(text: str, opening: int) -> int | None:
    depth = 0
    # A box longer than this is no answer; without a bound a text of open boxes costs its square.
    for i in range(opening, min(len(text), opening + 4_000)):
        if text[i] == "{":
            depth += 1
        elif text[i] == "}":
            depth -= 1
            if depth == 0:
                return i
    return None
