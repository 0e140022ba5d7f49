"""Benchmark files on the Hugging Face hub, by a pinned revision."""

from __future__ import annotations

from pathlib import Path

from baft.errors import UserError


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
