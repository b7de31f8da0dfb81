"""A base class for what holds processes, files or connections and releases them in `close`."""

from typing import Self


class Closing:
    """A context manager that always calls `close` at the end of its block."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def close(self) -> None:
        raise NotImplementedError
