"""Where files lie."""

from baft.config.layout import Layout, at
from baft.results.schema import PARTITIONS
from baft.results.store import partition_path


def test_the_layout_is_that_of_the_result_files() -> None:
    layout = Layout("results", "cache")
    values = dict(zip(PARTITIONS, ("m", "baft", "single", "b", 0, 3), strict=True))
    assert at(layout.probes, **values) == partition_path("results/probes", **values)
    assert at(layout.edits, **values) == partition_path("results/edits", **values)
    del values["shard"]
    assert at(layout.record, **values) == partition_path("results/records", **values)
    assert at(layout.base, **values) == partition_path("results/base", model="m", benchmark="b")
