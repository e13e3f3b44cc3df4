"""Progress of long work, in a terminal and in a notebook."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["Bar", "in_notebook"]


def in_notebook() -> bool:
    """Whether this runs in a notebook, where a child's terminal output would go elsewhere."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


class Bar:
    """A bar: that of tqdm where it is installed, else lines."""

    def __init__(self, what: str, shown: bool) -> None:
        self._what, self._shown, self._bar, self._said = what, shown, None, 0

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.close()

    def to(self, done: int, total: int, note: str = "") -> None:
        """`done` of `total`."""
        if not self._shown:
            return
        try:
            from tqdm.auto import tqdm
        except ImportError:
            tenths = 10 * done // max(total, 1)
            if tenths > self._said:
                self._said = tenths
                print(f"{self._what}: {done}/{total} {note}".rstrip(), file=sys.stderr)
            return
        if self._bar is None:
            self._bar = tqdm(total=total, desc=self._what)
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(done - self._bar.n)
