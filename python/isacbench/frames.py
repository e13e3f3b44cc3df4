"""Tables for polars and pandas, whichever is there."""

from __future__ import annotations

import importlib
import os
from typing import Any

__all__ = ["frame", "read"]


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as e:
        raise ImportError(f"{name} is not installed: pip install 'isacbench[{name}]'") from e


def frame(rows: list[dict[str, Any]], library: str) -> Any:
    """Rows as a data frame of `library`."""
    return _library(library).DataFrame(rows)


def read(path: str | os.PathLike[str], library: str) -> Any:
    """A Parquet file, or all of a folder, as a data frame of `library`, by way of Arrow's own columns."""
    path = os.fspath(path)
    if library == "polars":
        polars = _library("polars")
        # Of a folder, names of folders inside are columns.
        return polars.read_parquet(path)
    return _library("pandas").read_parquet(path)
