"""Parquet files that are whole or absent, with their provenance inside.

A file is written under a hidden name in its own folder, synced and renamed, so a reader (``pandas.read_parquet`` of the
whole dataset included, which skips hidden names) never meets half of one.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from baft.errors import UserError
from baft.files import replacing
from baft.results.schema import PARTITIONS

METADATA_KEY = b"baft"
PART = "part.parquet"
_ROWS_A_GROUP = 65_536
# What survives a folder name, a Snakemake wildcard and a hive reader's URI decoding unchanged.
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]*")


def partition_path(root: Path | str, **values: object) -> Path:
    """The hive folder of a partition's file: ``root/model=…/method=…/…/part.parquet``.

    ``values`` are some of :data:`~baft.results.schema.PARTITIONS`; whatever order they are given in, the folders are in
    that tuple's. Raises ``ValueError`` for a name that is no partition, :class:`UserError` for a value that cannot be
    part of a folder name.
    """
    if unknown := sorted(values.keys() - set(PARTITIONS)):
        raise ValueError(f"no partition is called {unknown[0]!r}; there are {', '.join(PARTITIONS)}")
    folder = Path(root)
    for name in PARTITIONS:
        if name not in values:
            continue
        value = str(values[name])
        if not _LABEL.fullmatch(value):
            raise UserError(
                f"{name} {value!r} cannot name a result folder: use letters, digits, '.', '_', '-' and '@', "
                "beginning with a letter or digit."
            )
        folder /= f"{name}={value}"
    return folder / PART


def read_partition_values(path: Path | str) -> dict[str, str]:
    """The hive keys in ``path`` (``model=…`` and so on) as strings, in the order of the folders."""
    pairs = (part.split("=", 1) for part in Path(path).parts if "=" in part)
    return {name: value for name, value in pairs if name in PARTITIONS}


def write_rows(
    rows: Iterable[Mapping[str, Any]], schema: pa.Schema, path: Path | str, provenance: Mapping[str, Any]
) -> int:
    """Write ``rows`` as the parquet file ``path``, all or nothing, and return how many there were.

    A row is a mapping from column names; a nullable column may be missing from it. ``provenance`` (JSON-able) goes into
    the file's metadata under ``b"baft"``. ``rows`` is consumed in pieces, so a generator never lies in memory as a
    whole. Folders are made as needed; an existing file is replaced.

    Raises :class:`UserError` if the disk or quota is full, and ``ValueError`` for a row with an unknown column or
    without a required one; in every case ``path`` is what it was before.
    """
    return write_tables(_tables(rows, schema), schema, path, provenance)


def write_tables(tables: Iterable[pa.Table], schema: pa.Schema, path: Path | str, provenance: Mapping[str, Any]) -> int:
    """:func:`write_rows` for rows that are Arrow tables of ``schema`` already."""
    described = schema.with_metadata({METADATA_KEY: json.dumps(provenance, sort_keys=True).encode()})
    written = 0
    with (
        replacing(Path(path)) as file,
        # Checksums let `is_whole` see damage in the middle of a file, not only a missing end.
        pq.ParquetWriter(file, described, compression="zstd", write_page_checksum=True) as writer,
    ):
        for table in tables:
            writer.write_table(table.cast(described), row_group_size=_ROWS_A_GROUP)
            written += table.num_rows
    return written


def _tables(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> Iterator[pa.Table]:
    known = set(schema.names)
    required = [field.name for field in schema if not field.nullable]
    iterator = iter(rows)
    while batch := list(itertools.islice(iterator, _ROWS_A_GROUP)):
        for row in batch:
            if unknown := sorted(row.keys() - known):
                raise ValueError(f"a row has the column {unknown[0]!r}, which the schema lacks")
            for name in required:
                if row.get(name) is None:
                    raise ValueError(f"a row has no value in the column {name!r}, which may not be null: {dict(row)!r}")
        yield pa.Table.from_pylist([dict(row) for row in batch], schema=schema)


def is_whole(path: Path | str) -> bool:
    """Whether ``path`` is a parquet file that reads to its end with every page checksum right."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for group in range(file.num_row_groups):
                file.read_row_group(group)
    except (OSError, pa.ArrowException):
        return False
    return True


def read_table(paths: Sequence[Path | str], columns: Sequence[str] | None = None) -> pa.Table:
    """Rows of ``paths`` one after another, only ``columns`` of them if given; no metadata.

    Raises :class:`UserError` that names the file if one is missing, damaged, or lacks a column.
    """
    return pa.concat_tables(
        [_read(Path(path), columns).replace_schema_metadata(None) for path in paths], promote_options="default"
    )


def _read(path: Path, columns: Sequence[str] | None) -> pa.Table:
    with _naming(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        missing = [name for name in columns or () if name not in file.schema_arrow.names]
        if missing:
            raise UserError(
                f"{path} has no column {missing[0]!r}: it was written by another version; delete it and run again."
            )
        return file.read(columns=None if columns is None else list(columns))


def read_provenance(path: Path | str) -> dict[str, Any]:
    """What :func:`write_rows` was given as ``provenance``.

    Raises :class:`UserError` if the file is missing, damaged, or was not written by this package.
    """
    return read_footer(path)[0]


def read_footer(path: Path | str) -> tuple[dict[str, Any], int]:
    """The provenance of a file and the number of its rows; errors as of :func:`read_provenance`."""
    with _naming(Path(path)):
        footer = pq.read_metadata(path)
    metadata = footer.metadata or {}
    if METADATA_KEY not in metadata:
        raise UserError(f"{path} has no provenance: it was not written by baft; delete it and run again.")
    return json.loads(metadata[METADATA_KEY]), footer.num_rows


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: run the step that writes it first.") from error
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path} is damaged or no parquet file ({error}); delete it and run again.") from error
