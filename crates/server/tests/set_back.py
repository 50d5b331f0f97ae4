"""Looks at a table and sets it back, as its user might do.

Usage: set_back.py <lake directory> <table> show                 prints snapshot and metadata file
       set_back.py <lake directory> <table> snapshot <id>        makes an older snapshot the current
       set_back.py <lake directory> <table> catalog <location>   restores an older catalog row
"""

import pathlib
import sqlite3
import sys

from pyiceberg.catalog.sql import SqlCatalog


def main() -> None:
    lake, name, action = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[3]
    database = lake / "catalog.db"
    catalog = SqlCatalog(
        "millstream", uri=f"sqlite:///{database}", warehouse=f"file://{lake}/warehouse"
    )
    table = catalog.load_table(f"main.{name}")
    if action == "show":
        print(table.current_snapshot().snapshot_id, table.metadata_location)
    elif action == "snapshot":
        with table.manage_snapshots() as snapshots:
            snapshots.set_current_snapshot(int(sys.argv[4]))
    elif action == "catalog":
        with sqlite3.connect(database) as connection:
            row = "UPDATE iceberg_tables SET metadata_location = ? WHERE table_name = ?"
            changed = connection.execute(row, (sys.argv[4], name)).rowcount
        assert changed == 1, changed
    else:
        raise SystemExit(f"no such action: {action}")


main()
