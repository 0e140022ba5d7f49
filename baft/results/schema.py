"""Columns of the result datasets: one row a probe, one row an edit, the per-record values made of them, one row a basis.

All are hive-partitioned by :data:`PARTITIONS` (the per-record values without the last, ``shard``; the bases by model and
benchmark), so that ``pandas.read_parquet("results/probes")`` is all of it.
"""

from __future__ import annotations

import pyarrow as pa

PARTITIONS = ("model", "method", "protocol", "benchmark", "seed", "shard")

# Of the unedited model; right after the record's own step; at a number of edits on the way; after the stream's last step.
MOMENTS = ("before", "immediate", "interim", "final")

# The `error` of a probe that the unedited model answers and the edited one does not, for its probabilities are no numbers.
RUINED = "after the edit the model's probabilities are not numbers"

PROBES = pa.schema(
    [
        pa.field("record_id", pa.string(), nullable=False),
        pa.field("stream_id", pa.string(), nullable=False),
        # Step of the stream at which the record was edited, from 0; -1 in rows of the unedited model.
        pa.field("step", pa.int32(), nullable=False),
        # Edits the stream had made when this row was measured; 0 in rows of the unedited model.
        pa.field("edits", pa.int32(), nullable=False),
        pa.field("moment", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("index", pa.int32(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("answers", pa.list_(pa.string()), nullable=False),
        pa.field("decoded", pa.string()),
        # Teacher-forced share of right answer tokens: best over the aliases, and of the first alias.
        pa.field("token_accuracy", pa.float64()),
        pa.field("token_accuracy_first", pa.float64()),
        # Decoded answer, compared as docs/metrics.md says, equals / starts with an accepted alias.
        pa.field("exact_match", pa.bool_()),
        pa.field("starts_with", pa.bool_()),
        # Mean natural-log probability per token of the first alias; of a sentiment probe over the tokens of all answers.
        pa.field("logprob_before", pa.float64()),
        pa.field("logprob_after", pa.float64()),
        # The same of the first contrast answer (of a sentiment probe: of all of them); null without one.
        pa.field("contrast_logprob_before", pa.float64()),
        pa.field("contrast_logprob_after", pa.float64()),
        # Whether logprob_after is above contrast_logprob_after; null without a contrast answer.
        pa.field("preferred", pa.bool_()),
        # Share of forced positions of the first alias where edited and unedited argmax agree.
        pa.field("agreement", pa.float64()),
        # Decoded string equals the unedited model's.
        pa.field("same_string", pa.bool_()),
        # Mean KL(unedited || edited) in nats over those positions; of locality probes only.
        pa.field("kl", pa.float64()),
        # ConvSent's edit success, in (0, 1); of sentiment probes only.
        pa.field("sentiment", pa.float64()),
        # n-gram entropy of the sampled text, in bits; of fluency probes only.
        pa.field("fluency", pa.float64()),
        # Why there is no measurement: that of the edit, if it failed; RUINED; or why the probe cannot be asked.
        pa.field("error", pa.string()),
    ]
)

EDITS = pa.schema(
    [
        pa.field("record_id", pa.string(), nullable=False),
        pa.field("stream_id", pa.string(), nullable=False),
        pa.field("step", pa.int32(), nullable=False),
        # Optimiser steps taken, and the training objective's value at the last of them.
        pa.field("optimiser_steps", pa.int32()),
        pa.field("loss", pa.float64()),
        # Wall seconds of the batch this edit was fitted in, divided by the edits in it.
        pa.field("seconds", pa.float64()),
        # Peak memory of the process or device while fitting, bytes.
        pa.field("peak_memory", pa.int64()),
        # Trained parameters, and weights of the model that differ from the unedited one's because of this edit.
        pa.field("parameters_trained", pa.int64()),
        pa.field("parameters_changed", pa.int64()),
        # Numbers that the stream's edited model has beside the unedited one after this step, and those that are kept besides
        # only to go on editing; of all edits so far. Null where nobody knows.
        pa.field("numbers_stored", pa.int64()),
        pa.field("numbers_carried", pa.int64()),
        # Perplexity of general text under the stream's model after this step, over the unedited model's. Null where it was
        # not asked for, NaN where there is none.
        pa.field("perplexity_ratio", pa.float64()),
        pa.field("error", pa.string()),
    ]
)

# The group of a value that is the mean over the groups a record has.
ALL_GROUPS = "*"

RECORDS = pa.schema(
    [
        pa.field("record_id", pa.string(), nullable=False),
        pa.field("stream_id", pa.string(), nullable=False),
        pa.field("moment", pa.string(), nullable=False),
        # Edits the stream had made at that moment.
        pa.field("edits", pa.int32(), nullable=False),
        # A name in baft.results.metrics.METRICS.
        pa.field("metric", pa.string(), nullable=False),
        # A probe group, or ALL_GROUPS.
        pa.field("group", pa.string(), nullable=False),
        # Null where none of the probes has a measurement: never 0 for that.
        pa.field("value", pa.float64()),
        # What of a mean of this metric is independent: a stream, or records that share a question of the metric's kind. It
        # has the name of its first stream.
        pa.field("unit_id", pa.string(), nullable=False),
        # Probes behind the value, and probes that should be but have no measurement.
        pa.field("probes", pa.int32(), nullable=False),
        pa.field("unmeasured", pa.int32(), nullable=False),
        # Whether a later edit of the stream gave the record's prompt another target.
        pa.field("overwritten", pa.bool_(), nullable=False),
        # Why the record's edit failed; null if it did not.
        pa.field("error", pa.string()),
    ]
)

# What tuning has tried, one row a trial of a method on a model (docs/tuning.md).
TRIALS = pa.schema(
    [
        # From 0, which has the settings that the search begins with.
        pa.field("trial", pa.int32(), nullable=False),
        # All settings of the method, and those that are searched, as JSON.
        pa.field("settings", pa.string(), nullable=False),
        pa.field("searched", pa.string(), nullable=False),
        # "done", or "failed": then the objective is 0 and `error` says why.
        pa.field("state", pa.string(), nullable=False),
        pa.field("objective", pa.float64(), nullable=False),
        # The two sides of the Pareto set; null where nothing was measured.
        pa.field("editing", pa.float64()),
        pa.field("locality", pa.float64()),
        # Whether no other trial of the search is as good in both and better in one; null until all are there.
        pa.field("pareto", pa.bool_()),
        # Means over records, in the order of the study.
        pa.field(
            "scores",
            pa.list_(
                pa.struct(
                    [
                        pa.field("protocol", pa.string(), nullable=False),
                        pa.field("benchmark", pa.string(), nullable=False),
                        pa.field("metric", pa.string(), nullable=False),
                        pa.field("value", pa.float64()),
                    ]
                )
            ),
            nullable=False,
        ),
        pa.field("edits", pa.int32(), nullable=False),
        pa.field("failed_edits", pa.int32(), nullable=False),
        # The earlier trial with the same settings, whose scores these are; null for most.
        pa.field("repeats", pa.int32()),
        # Wall time.
        pa.field("seconds", pa.float64(), nullable=False),
        # Why the trial failed, or the first of its edits that did.
        pa.field("error", pa.string()),
    ]
)

# What an edit made of bases does, one row a method, record, input, position and basis (docs/analysis.md). All but
# `basis`, `move` and `weight` is of the position, and `slope` of the edit.
BASES = pa.schema(
    [
        # The method's name, whatever its label in the study.
        pa.field("method", pa.string(), nullable=False),
        pa.field("record_id", pa.string(), nullable=False),
        # A name in baft.analysis.inputs.KINDS; group and index are the probe's.
        pa.field("kind", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("index", pa.int32(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("position", pa.int32(), nullable=False),
        pa.field("token", pa.string(), nullable=False),
        # Whether the edit acts at this position; the picture's inputs have all of theirs.
        pa.field("edited", pa.bool_(), nullable=False),
        pa.field("basis", pa.int32(), nullable=False),
        pa.field("move", pa.float64(), nullable=False),
        pa.field("weight", pa.float64(), nullable=False),
        # The edit's, at a position where it does not act what it would be.
        pa.field("displacement", pa.float64(), nullable=False),
        pa.field("size", pa.float64(), nullable=False),
        pa.field("distance", pa.float64(), nullable=False),
        pa.field("spread", pa.float64(), nullable=False),
        pa.field("gap", pa.float64(), nullable=False),
        pa.field("tilt", pa.float64(), nullable=False),
        pa.field("slope", pa.float64(), nullable=False),
    ]
)
