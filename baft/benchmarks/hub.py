"""Benchmark files on the Hugging Face hub, by a pinned revision."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

from baft.benchmarks.known_files import known_file
from baft.benchmarks.loading import load
from baft.benchmarks.records import Benchmark
from baft.errors import UserError

logger = logging.getLogger(__name__)


def load_hub(
    repo_id: str,
    filename: str,
    revision: str,
    sha256: str | None = None,
    *,
    name: str | None = None,
    format: str = "auto",
    split: Literal["tune", "test"] = "tune",
    limit: int | None = None,
) -> Benchmark:
    """Download ``filename`` of the data set ``repo_id`` at the commit ``revision`` and read it, as :func:`load` does.

    The file must have the hash ``sha256``, if one is given. Without one, a file that is not known by its hash is used
    with a warning that names the hash. The benchmark's revision also names the first letters of the commit, unless the
    file is a known one. ``name`` is the file's name without its ending unless given.

    Raises:
        UserError: the revision is not a commit's full hash, the file cannot be downloaded or has another hash, or
            :func:`load` refuses it.
    """
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise UserError(
            f"The revision {revision!r} of the data set {repo_id} is not pinned; give the full hash of a commit "
            "(40 hexadecimal digits), since branches and tags can move."
        )
    path = download(repo_id, filename, revision)
    benchmark = load(path, name or Path(filename).stem, format=format, split=split, limit=limit, sha256=sha256)
    if known_file(benchmark.sha256):
        return benchmark
    if sha256 is None:
        logger.warning(
            "%s of %s is not a known file; to pin it, give its SHA-256 %s.", filename, repo_id, benchmark.sha256
        )
    return replace(benchmark, revision=f"{benchmark.revision} @ {revision[:8]}")


def download(repo_id: str, filename: str, revision: str) -> Path:
    """The local path of a file of a data set, downloaded unless it is in the hub's cache.

    Raises:
        UserError: it cannot be had.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repo_id, filename, repo_type="dataset", revision=revision))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{filename} of the data set {repo_id} at {revision} cannot be downloaded ({reason}); check the three, or "
            "download it elsewhere and give its path."
        ) from error
