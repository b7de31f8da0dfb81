"""Whether a text ends repeating itself: the mark of a model that never learnt to stop."""

_TAIL = 8_000
_TIMES = 4
_LEAST = 60


def ends_in_loop(text: str) -> bool:
    """Whether the last 60 characters or more are one unit written at least four times over.

    The last copy may be cut off anywhere. Units of up to 2,000 characters are found.
    """
    tail = text[-_TAIL:][::-1]
    if len(tail) < _LEAST:
        return False
    borders = [0] * len(tail)
    border = 0
    for i in range(1, len(tail)):
        while border and tail[i] != tail[border]:
            border = borders[border - 1]
        border += tail[i] == tail[border]
        borders[i] = border
        # The first i + 1 characters have the period i + 1 - border.
        if i + 1 >= _LEAST and (i + 1 - border) * _TIMES <= i + 1:
            return True
    return False
