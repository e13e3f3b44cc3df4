"""Progress of long work, in a terminal and in a notebook."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["Bar"]


class Bar:
    """A bar: that of tqdm where it is installed, in a terminal a line that changes, else a line for every tenth."""

    def __init__(self, what: str, shown: bool) -> None:
        self._what, self._shown = what, shown
        self._bar: Any = None
        self._tenths = 0
        self._open = False

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._open:
            print(file=sys.stderr)

    def to(self, done: int, total: int, note: str = "") -> None:
        """`done` of `total`."""
        if not self._shown:
            return
        try:
            from tqdm.auto import tqdm
        except ImportError:
            self._line(done, total, note)
            return
        if self._bar is None:
            self._bar = tqdm(total=total, desc=self._what)
        if self._bar.total != total or done < self._bar.n:
            # Another stage of the same job.
            self._bar.reset(total=total)
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(done - self._bar.n)

    def _line(self, done: int, total: int, note: str) -> None:
        text = f"{self._what}: {done}/{total} {note}".rstrip()
        tenths = 10 * done // max(total, 1)
        if sys.stderr.isatty():
            print(f"\r{text}\033[K", end="", file=sys.stderr, flush=True)
            self._open = True
        elif tenths != self._tenths:
            self._tenths = tenths
            print(text, file=sys.stderr)
