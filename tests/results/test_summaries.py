import math
from itertools import permutations
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baft.errors import UserError
from baft.results import store, summaries
from baft.results.schema import RECORDS, RUINED
from tests.results.synthetic import edit, probe, write_shard

CELL = {"model": "m", "method": "toy", "protocol": "single", "benchmark": "b", "seed": 0}


def summarise(root: Path, *shards: tuple[Path, Path]) -> pd.DataFrame:
    out = store.partition_path(root / "records", **CELL)
    summaries.summarise_cell([probes for probes, _ in shards], [edits for _, edits in shards], out)
    return pq.ParquetFile(out).read().to_pandas()


def value(frame: pd.DataFrame, record: str, metric: str, group: str = "*", moment: str = "final") -> float | None:
    rows = frame.query("record_id == @record and metric == @metric and group == @group and moment == @moment")
    assert len(rows) <= 1
    return None if rows.empty else float(rows["value"].iloc[0])


def test_hand_computed_aggregation(tmp_path: Path) -> None:
    # Portability: groups (1 + 0 + 0.5) / 3 = 0.5 and 1, so 0.75; the mean over probes would have been 0.625.
    probes = [
        probe("a", "reliability", token_accuracy=0.5, starts_with=True, exact_match=False),
        probe("a", "portability", "Reasoning", 0, token_accuracy=1.0, starts_with=True),
        probe("a", "portability", "Reasoning", 1, token_accuracy=0.0, starts_with=False),
        probe("a", "portability", "Reasoning", 2, token_accuracy=0.5, starts_with=False),
        probe("a", "portability", "Alias", 0, token_accuracy=1.0, starts_with=True),
        probe("a", "locality", "Forgetfulness", 0, agreement=0.25, same_string=False, token_accuracy=1.0),
        probe("b", "reliability", token_accuracy=1.0, starts_with=False, exact_match=False),
    ]
    frame = summarise(tmp_path, write_shard(tmp_path, CELL, probes, [edit("a"), edit("b")]))
    assert value(frame, "a", "edit_success") == 0.5
    assert value(frame, "a", "edit_success_decoded") == 1.0
    assert value(frame, "a", "edit_success_exact") == 0.0
    assert value(frame, "a", "portability", "Reasoning") == pytest.approx(0.5)
    assert value(frame, "a", "portability") == pytest.approx(0.75)
    assert value(frame, "a", "portability_decoded") == pytest.approx((1 / 3 + 1) / 2)
    assert value(frame, "a", "locality") == 0.25, "agreement with the unedited model, not accuracy"
    assert value(frame, "a", "locality_decoded") == 0.0
    assert value(frame, "b", "portability") is None, "a record without probes of a kind is left out, not 0"
    assert value(frame, "a", "portability_exact") is None, "what was not measured is left out, not 0"
    rows = frame.query("record_id == 'a' and metric == 'portability'").set_index("group")["probes"]
    assert rows.to_dict() == {"Reasoning": 3, "Alias": 1, "*": 4}


def test_a_failed_edit_scores_0_in_success_and_has_no_locality(tmp_path: Path) -> None:
    probes = [
        probe("a", kind, token_accuracy=None, agreement=None, error="loss is NaN")
        for kind in ("reliability", "generality", "portability", "locality")
    ]
    probes += [probe("b", "reliability", token_accuracy=1.0), probe("b", "locality", agreement=1.0)]
    shard = write_shard(tmp_path, CELL, probes, [edit("a", error="loss is NaN"), edit("b")])
    frame = summarise(tmp_path, shard)
    for metric in ("edit_success", "edit_success_decoded", "generality", "portability_exact"):
        assert value(frame, "a", metric) == 0.0
    assert value(frame, "a", "locality") is None
    assert set(frame.query("record_id == 'a'")["error"]) == {"loss is NaN"}
    assert frame.query("record_id == 'b'")["error"].isna().all()
    out = store.partition_path(tmp_path / "records", **CELL)
    assert store.read_provenance(out)["counts"] == {"records": 2, "failed": 1}


def test_what_could_not_be_measured_is_counted_apart_and_never_a_0(tmp_path: Path) -> None:
    probes = [
        probe("a", "portability", "x", 0, token_accuracy=1.0, starts_with=True),
        probe("a", "portability", "x", 1, error="takes 900 tokens"),
        probe("a", "portability", "y", 0, error="takes 900 tokens"),
        probe("a", "locality", "z", 0, error="takes 900 tokens"),
        probe("a", "locality", "z", 1, agreement=0.5, kl=float("nan")),
        probe("b", "reliability", token_accuracy=1.0),
        probe("b", "locality", "z", 0, error="takes 900 tokens"),
    ]
    edits = [edit("a", perplexity_ratio=float("nan")), edit("b", perplexity_ratio=float("inf"))]
    frame = summarise(tmp_path, write_shard(tmp_path, CELL, probes, edits))
    rows = frame.set_index(["record_id", "metric", "group"])[["value", "probes", "unmeasured"]]
    assert rows.loc["a", "portability", "x"].tolist() == [1.0, 1, 1]
    assert rows.loc["a", "portability", "*"].tolist() == [1.0, 1, 2], "a group without a measurement is left out"
    assert rows.loc["a", "locality", "*"].tolist() == [0.5, 1, 1]
    unmeasured = [
        ("a", "locality_kl", 2),
        ("b", "locality", 1),
        ("a", "perplexity_ratio", 1),
        ("b", "perplexity_ratio", 1),
    ]
    for record, metric, count in unmeasured:
        found = rows.loc[record, metric, "*"]
        assert math.isnan(found["value"])
        assert found["unmeasured"] == count
    assert rows.loc["b", "edit_success", "*"].tolist() == [1.0, 1, 0]
    # What nobody asked for is not there at all.
    assert "portability_exact" not in frame[frame["value"].notna()]["metric"].to_list()
    assert value(frame, "b", "fluency") is None


def test_a_model_that_the_edit_ruined_has_no_success_and_no_measured_locality(tmp_path: Path) -> None:
    probes = [
        probe("a", "reliability", error=RUINED, contrast_logprob_before=-1.0),
        probe("a", "locality", "z", 0, error=RUINED),
    ]
    frame = summarise(tmp_path, write_shard(tmp_path, CELL, probes, [edit("a")])).set_index(["metric", "group"])
    assert frame.loc[("edit_success", "*"), "value"] == frame.loc[("efficacy", "*"), "value"] == 0.0
    assert math.isnan(frame.loc[("locality", "*"), "value"])
    assert frame.loc[("locality", "*"), "unmeasured"] == 1


def test_a_probe_that_cannot_be_asked_is_no_failure_of_an_edit_that_failed(tmp_path: Path) -> None:
    probes = [
        probe("a", "reliability", error="the loss is NaN"),
        probe("a", "generality", error="takes 900 tokens"),
    ]
    frame = summarise(tmp_path, write_shard(tmp_path, CELL, probes, [edit("a", error="the loss is NaN")]))
    assert value(frame, "a", "edit_success") == 0.0
    assert math.isnan(value(frame, "a", "generality") or 0.0)


def test_a_failed_edit_without_probe_rows_still_scores_0(tmp_path: Path) -> None:
    probes = [probe("b", "reliability", token_accuracy=1.0, starts_with=True, exact_match=True)]
    frame = summarise(tmp_path, write_shard(tmp_path, CELL, probes, [edit("a", error="out of memory"), edit("b")]))
    assert value(frame, "a", "edit_success") == value(frame, "a", "edit_success_decoded") == 0.0
    assert frame.query("metric == 'edit_success' and group == '*'")["value"].mean() == 0.5


def test_a_cell_in_which_every_edit_failed_without_probes(tmp_path: Path) -> None:
    frame = summarise(tmp_path, write_shard(tmp_path, CELL, [], [edit("a", error="x")]))
    assert value(frame, "a", "edit_success") == 0.0


def test_moments_are_kept_apart(tmp_path: Path) -> None:
    probes = [
        probe("a", "reliability", moment=moment, token_accuracy=accuracy)
        for moment, accuracy in (("before", 0.0), ("immediate", 1.0), ("final", 0.5))
    ]
    frame = summarise(tmp_path, write_shard(tmp_path, CELL, probes, [edit("a")]))
    assert [value(frame, "a", "edit_success", moment=m) for m in ("before", "immediate", "final")] == [0.0, 1.0, 0.5]


def test_shards_come_together_and_the_cell_is_in_the_metadata(tmp_path: Path) -> None:
    shards = [
        write_shard(tmp_path, CELL | {"shard": n}, [probe(name, "reliability", token_accuracy=1.0)], [edit(name)])
        for n, name in enumerate("ba")
    ]
    frame = summarise(tmp_path, *shards)
    # Shard by shard, so that one of them is in memory at a time.
    assert frame.query("metric == 'edit_success' and group == '*'")["record_id"].to_list() == ["b", "a"]
    out = store.partition_path(tmp_path / "records", **CELL)
    found = store.read_provenance(out)
    assert found["cell"] == {name: str(value) for name, value in CELL.items()}
    assert found["conditions"]["split"] == "tune"
    assert pq.read_schema(out).remove_metadata().equals(RECORDS)


def test_a_summary_has_the_versions_of_all_its_shards(tmp_path: Path) -> None:
    shards = [
        write_shard(
            tmp_path,
            CELL | {"shard": n},
            [probe(name, "reliability", token_accuracy=1.0)],
            [edit(name)],
            libraries={"torch": (version,), "transformers": ("5.0",)},
        )
        for n, (name, version) in enumerate((("a", "2.13.0"), ("b", "2.12.0")))
    ]
    summarise(tmp_path, *shards)
    found = store.read_provenance(store.partition_path(tmp_path / "records", **CELL))
    assert found["conditions"]["libraries"] == {"torch": ["2.12.0", "2.13.0"], "transformers": ["5.0"]}


def test_overlapping_shards_are_refused(tmp_path: Path) -> None:
    rows = [probe("a", "reliability", token_accuracy=1.0)]
    with pytest.raises(UserError, match="'a' was edited more than once"):
        summarise(tmp_path, *(write_shard(tmp_path, CELL | {"shard": n}, rows, [edit("a")]) for n in (0, 1)))
    with pytest.raises(UserError, match="record 'a', which another shard has too"):
        summarise(
            tmp_path, *(write_shard(tmp_path, CELL | {"shard": n}, rows, [edit(name)]) for n, name in enumerate("ab"))
        )


@pytest.mark.parametrize(
    ("name", "other"),
    [("protocol", {"kind": "continual"}), ("evaluation", {"max_new_tokens": 30}),
     ("revision", "r2"), ("prompt_format", "chat"), ("dtype", "bfloat16"),
     ("split", "test"), ("method", {"name": "toy", "rank": 2}), ("model", "beef"), ("sha256", "1")],
)  # fmt: skip
def test_shards_of_different_conditions_are_refused_by_name(tmp_path: Path, name: str, other: Any) -> None:
    first = write_shard(tmp_path, CELL, [probe("a", "reliability", token_accuracy=1.0)], [edit("a")])
    second = write_shard(
        tmp_path, CELL | {"shard": 1}, [probe("b", "reliability", token_accuracy=1.0)], [edit("b")], **{name: other}
    )
    with pytest.raises(UserError, match=f"different conditions \\({name} "):
        summarise(tmp_path, first, second)


def test_two_cells_are_refused(tmp_path: Path) -> None:
    rows = [probe("a", "reliability", token_accuracy=1.0)]
    first = write_shard(tmp_path, CELL, rows, [edit("a")])
    second = write_shard(tmp_path, CELL | {"seed": 1}, rows, [edit("a")])
    with pytest.raises(UserError, match="different cells"):
        summarise(tmp_path, first, second)


ROWS = st.lists(
    st.tuples(
        st.sampled_from("abc"), st.sampled_from(["reliability", "portability", "locality"]), st.sampled_from("xyz"),
        st.none() | st.just(float("nan")) | st.integers(0, 4).map(lambda n: n / 4),
        st.sampled_from([None, None, "the edit failed", "too long", RUINED]),
    ),
    min_size=1, max_size=30,
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(rows=ROWS)
def test_equals_a_plain_loop(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    root = tmp_path_factory.mktemp("cell")
    probes = [
        probe(record, kind, group, index, token_accuracy=score, agreement=score, error=error)
        for index, (record, kind, group, score, error) in enumerate(rows)
    ]
    edits = [edit(name, error="the edit failed") for name in "abc"]
    frame = summarise(root, write_shard(root, CELL, probes, edits))
    for record in "abc":
        for metric, kind in (("edit_success", "reliability"), ("portability", "portability"), ("locality", "locality")):
            groups: dict[str, list[float]] = {}
            missing = 0
            for name, probed, group, score, error in rows:
                if name != record or probed != kind:
                    continue
                if error is None and score is not None and not math.isnan(score):
                    groups.setdefault(group, []).append(score)
                elif error in ("the edit failed", RUINED) and kind != "locality":
                    groups.setdefault(group, []).append(0.0)
                elif error in ("too long", RUINED) or (error is None and score is not None):
                    missing += 1
            means = [sum(scores) / len(scores) for scores in groups.values()]
            found = frame.query("record_id == @record and metric == @metric and group == '*'")
            if means:
                assert found["value"].item() == pytest.approx(sum(means) / len(means))
            elif missing or metric != "edit_success":
                # Without any row a failed edit still has no success.
                assert found["value"].isna().all()
            assert found["unmeasured"].sum() == missing


def test_the_order_of_rows_and_shards_does_not_matter(tmp_path: Path) -> None:
    names = ["a", "b", "c"]
    frames = []
    for number, order in enumerate(permutations(names)):
        shards = [
            write_shard(
                tmp_path / str(number),
                CELL | {"shard": names.index(name)},
                [probe(name, "locality", group, 0, agreement=0.1 * ord(group)) for group in "yxz"],
                [edit(name)],
            )
            for name in order
        ]
        keys = ["record_id", "moment", "edits", "metric", "group"]
        frames.append(summarise(tmp_path / str(number), *shards).sort_values(keys, ignore_index=True))
    for frame in frames[1:]:
        pd.testing.assert_frame_equal(frame, frames[0])


def test_each_metric_of_likelihoods_and_side_effects_is_read_off_its_own_probes(tmp_path: Path) -> None:
    contrast = {"contrast_logprob_before": -3.0}
    probes = [
        probe("a", "reliability", preferred=True, **contrast),
        probe("a", "generality", "", 0, preferred=True, **contrast),
        probe("a", "generality", "", 1, preferred=False, **contrast),
        probe("a", "locality", "near", 0, preferred=True, kl=0.5, **contrast),
        probe("a", "locality", "far", 0, kl=1.5),
        probe("a", "sentiment", sentiment=0.25, preferred=True, **contrast),
        probe("a", "fluency", "", 0, fluency=4.0),
        probe("a", "fluency", "", 1, fluency=5.0),
    ]
    frame = summarise(tmp_path, write_shard(tmp_path, CELL, probes, [edit("a", perplexity_ratio=1.25)]))
    expected = {
        "efficacy": 1.0, "paraphrase": 0.5, "neighbourhood": 1.0, "locality_kl": 1.0, "sentiment": 0.25,
        "fluency": 4.5, "perplexity_ratio": 1.25,
    }  # fmt: skip
    assert {name: value(frame, "a", name) for name in expected} == expected


def test_a_failed_edit_scores_0_where_there_was_a_contrast_and_has_no_side_effects(tmp_path: Path) -> None:
    kinds = ("reliability", "generality", "locality", "sentiment", "fluency")
    probes = [probe("a", kind, error="x", contrast_logprob_before=-1.0) for kind in kinds]
    probes += [probe("b", kind, error="x") for kind in kinds]
    edits = [edit(name, error="x", perplexity_ratio=1.0) for name in "abc"]
    frame = summarise(tmp_path, write_shard(tmp_path, CELL, probes, edits))
    assert [value(frame, "a", name) for name in ("efficacy", "paraphrase", "sentiment")] == [0.0, 0.0, 0.0]
    for metric in ("efficacy", "paraphrase"):
        assert value(frame, "b", metric) is value(frame, "c", metric) is None, "nothing to be preferred to"
    for metric in ("neighbourhood", "locality_kl", "fluency", "perplexity_ratio"):
        assert not frame["metric"].eq(metric).any()


def test_drift_is_that_of_the_model_a_stream_ends_with(tmp_path: Path) -> None:
    edits = [
        edit(name, stream_id="a", step=step, perplexity_ratio=1.0 + step, error=error)
        for name, step, error in (("c", 2, None), ("a", 0, None), ("b", 1, "failed"))
    ]
    edits += [edit("d", perplexity_ratio=None)]
    frame = summarise(tmp_path, write_shard(tmp_path, CELL, [probe("a", "reliability")], edits))
    drift = frame.query("metric == 'perplexity_ratio'").set_index("record_id")["value"]
    assert drift.to_dict() == {"a": 3.0, "c": 3.0}
