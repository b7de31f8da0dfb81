"""What holds processes, files or connections, and lets go of them in `close`."""

from typing import Self


class Closing:
    """A context manager that calls `close` at the end of its block, whatever ended it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def close(self) -> None:
        raise NotImplementedError
