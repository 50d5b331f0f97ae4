"""Reads a table's message ids with PyIceberg and with DuckDB, each by its own way.

Usage: read_table.py <lake directory> <table>
Prints one JSON object: {"pyiceberg": [...], "duckdb": [...], "positions_repeated": <rows whose
(source, partition, offset) another row has too>}.
"""

import json
import pathlib
import sys

import duckdb
import duckdb_ext
from pyiceberg.catalog.sql import SqlCatalog


def main() -> None:
    lake, name = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
    catalog = SqlCatalog(
        "millstream",
        uri=f"sqlite:///{lake}/catalog.db",
        warehouse=f"file://{lake}/warehouse",
    )
    table = catalog.load_table(f"main.{name}")
    rows = table.scan(
        selected_fields=("message_id", "_ms_source", "_ms_partition", "_ms_offset")
    ).to_arrow()
    positions = {
        (row["_ms_source"], row["_ms_partition"], row["_ms_offset"]) for row in rows.to_pylist()
    }

    connection = duckdb_ext.init(duckdb.connect())
    for extension in ("avro", "iceberg"):
        connection.execute(f"LOAD {extension}")
    metadata = table.metadata_location.removeprefix("file://")
    read = connection.execute("SELECT message_id FROM iceberg_scan(?)", [metadata]).fetchall()

    json.dump(
        {
            "pyiceberg": rows["message_id"].to_pylist(),
            "duckdb": [row[0] for row in read],
            "positions_repeated": rows.num_rows - len(positions),
        },
        sys.stdout,
    )


main()
