#!/usr/bin/env python3
"""Reads a sweep's dataset with pandas, pyarrow, polars and duckdb, filters included, and compares what they find.

    pip install pandas pyarrow polars duckdb
    isacbench sweep configs/sweep-v2x-tiny.toml --device cpu --out runs/tiny
    scripts/dataset-readers.py runs/tiny

Too heavy for every run of the tests: a check before a release. Exit status 1 if a reader fails or finds other rows.
"""

import glob
import json
import pathlib
import shutil
import sys
import tempfile

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

if len(sys.argv) != 2:
    sys.exit(__doc__)
folder = sys.argv[1].rstrip("/")
# As it is while a sweep runs: beside each part one that is being written.
copy = tempfile.TemporaryDirectory()
data = shutil.copytree(f"{folder}/data", f"{copy.name}/data")
for part in pathlib.Path(data).glob("*/*/*.parquet"):
    part.with_name(f".{part.name}.1.tmp").write_bytes(part.read_bytes()[:100])
with open(f"{folder}/plan.json") as f:
    plan = json.load(f)
agent, point = plan["points"][0]["agent"], plan["points"][0]["id"]
files = glob.glob(f"{data}/*/*/*.parquet")
# Each file by itself: the rows that all readers must find.
alone = {f: pq.read_table(f, partitioning=None).to_pylist() for f in files}
for f, rows in alone.items():
    held = [c for c in ("agent", "point") if rows and c in rows[0]]
    if held:
        sys.exit(f"FAIL {f} holds {held}, which stand in its path")
metric = sorted({r["metric"] for rows in alone.values() for r in rows})[0]
hive = dict(hive_partitioning=True)


def count(keep):
    return sum(keep(f, r) for f, rows in alone.items() for r in rows)


def duck(where):
    sql = f"select count(*) from read_parquet('{data}/*/*/*.parquet', hive_partitioning = true) where {where}"
    return duckdb.sql(sql).fetchall()[0][0]


def lazy(*keep):
    return pl.scan_parquet(f"{data}/**/*.parquet", **hive).filter(*keep).collect().height


# Name, rows that must be found, filters for pandas and pyarrow, for polars, for duckdb.
queries = [
    ("all", lambda f, r: True, None, [], "true"),
    ("agent", lambda f, r: f"agent={agent}/" in f, [("agent", "=", agent)], [pl.col("agent") == agent],
     f"agent = '{agent}'"),
    ("point", lambda f, r: f"point={point}/" in f, [("point", "in", [point])], [pl.col("point").is_in([point])],
     f"point in ('{point}')"),
    ("metric", lambda f, r: r["metric"] == metric, [("metric", "=", metric)], [pl.col("metric") == metric],
     f"metric = '{metric}'"),
    ("status and seed", lambda f, r: r["status"] == "ok" and r["seed"] > 0, [("status", "in", ["ok"]), ("seed", ">", 0)],
     [pl.col("status") == "ok", pl.col("seed") > 0], "status = 'ok' and seed > 0"),
]
for axis in plan["axes"]:
    values = [r[axis] for rows in alone.values() for r in rows if r[axis] is not None]
    value = values[0]
    literal = f"'{value}'" if isinstance(value, str) else repr(value)
    queries.append((
        axis, lambda f, r, axis=axis, value=value: r[axis] == value, [(axis, "=", value)], [pl.col(axis) == value],
        f'"{axis}" = {literal}',
    ))

print(f"pandas {pd.__version__}, pyarrow {pa.__version__}, "
      f"polars {pl.__version__}, duckdb {duckdb.__version__}: {len(files)} parts, axes {', '.join(plan['axes'])}")
failed = 0
for name, keep, pairs, expressions, where in queries:
    want = count(keep)
    readers = {
        "pandas": lambda: len(pd.read_parquet(data, filters=pairs)),
        "pyarrow.parquet": lambda: pq.read_table(data, filters=pairs).num_rows,
        "pyarrow.dataset": lambda: ds.dataset(data, partitioning="hive").to_table(
            filter=pq.filters_to_expression(pairs) if pairs else None).num_rows,
        "polars": lambda: lazy(*expressions),
        "duckdb": lambda: duck(where),
    }
    for reader, read in readers.items():
        try:
            found = read()
        except Exception as e:
            found = f"{type(e).__name__}: {str(e).splitlines()[0]}"
        ok = found == want
        failed += not ok
        print(f"{'ok  ' if ok else 'FAIL'} {name:20} {reader:16} {found} rows" + ("" if ok else f", expected {want}"))
# A table of means by agent, as one would make it.
table = pd.read_parquet(data, filters=[("metric", "=", metric)]).groupby("agent", observed=True)["mean"].mean()
print(table.to_string())
sys.exit(f"{failed} of the queries failed" if failed else 0)
