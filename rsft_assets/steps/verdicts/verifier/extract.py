"""Which part of a response is judged.

Comes in: a response, the scope and the finish reason. Goes out: the text to judge, or the reason why there is none.
Nothing here scans a text with a regular expression, so the process that owns the workers may call it on anything.
"""

SCOPES: tuple[str, ...] = ("tail", "whole")

THINK_OPEN = "<think>"
THINK_CLOSE = "</think>"


def judged_text(response: str, scope: str, finish_reason: str | None = None) -> tuple[str | None, str]:
    """The text after the last `</think>` (tail) or all of it (whole), else None and the reason."""
    if scope == "whole":
        return response, ""
    closed = response.rfind(THINK_CLOSE)
    # Text after the close that opens another block is thinking again, not an answer.
    if response.rfind(THINK_OPEN) > closed:
        return None, "cut-off" if finish_reason == "length" else "think-not-closed"
    return (response if closed < 0 else response[closed + len(THINK_CLOSE) :]), ""
