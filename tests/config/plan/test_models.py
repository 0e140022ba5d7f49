"""What is said of a model."""

from pathlib import Path

from tests.config.plan.studies import plan


def test_studies_that_share_a_cache_agree_on_what_is_in_it(tmp_path: Path) -> None:
    own = plan(tmp_path)
    # How work is shared out changes neither the model that is prepared nor any number of its covariances.
    other = plan(tmp_path, models={"m": {"streams": 3, "token_budget": 77, "resources": {"gpu": 1}}})
    assert other.models.source("m") == own.models.source("m")
    assert other.models.numbers("m") == own.models.numbers("m")
    half = plan(tmp_path, models={"m": {"dtype": "bfloat16"}})
    assert half.models.source("m") == own.models.source("m")
    assert half.models.numbers("m") != own.models.numbers("m")
    moved = plan(tmp_path, models={"m": {"source": "folder", "path": str(tmp_path)}})
    assert moved.models.source("m") != own.models.source("m")
    # Covariances of other texts lie elsewhere, and neither study's replace the other's.
    assert own.edits.covariances("m", "fast") == other.edits.covariances("m", "fast")
    assert plan(tmp_path, covariances={"tokens": 99}).edits.covariances("m", "fast") != own.edits.covariances(
        "m", "fast"
    )
