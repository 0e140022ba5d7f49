# What streams of several steps do to their earlier edits, for the studies that have such a protocol.

SEQUENCES = []

if plan.sequences:

    SEQUENCES = multiext(
        f"{study.results}/figures/batched_sequence_length", ".pdf", ".png", ".csv"
    )

    rule tabulate_forgetting:
        input:
            plan.sequences.records(),
        output:
            multiext(f"{study.results}/tables/forgetting", ".csv", ".md", ".tex"),
        log:
            layout.log("tabulate_forgetting"),
        benchmark:
            layout.timing("tabulate_forgetting")
        params:
            grid=plan.sequences.model_dump_json(),
            stem=subpath(output[0], strip_suffix=".csv"),
            source=plan.source("baft.report.sequences"),
        shell:
            "baft tabulate-forgetting --grid {params.grid:q} --out {params.stem:q} 2> >(tee {log:q} >&2)"

    rule plot_batched_sequence_length:
        input:
            plan.sequences.records(),
        output:
            multiext(f"{study.results}/figures/batched_sequence_length", ".pdf", ".csv"),
            report(
                f"{study.results}/figures/batched_sequence_length.png",
                caption="../report/batched_sequence_length.rst",
                category="Sequences",
                labels={"figure": "scores against edits made"},
            ),
        log:
            layout.log("plot_batched_sequence_length"),
        benchmark:
            layout.timing("plot_batched_sequence_length")
        params:
            grid=plan.sequences.model_dump_json(),
            stem=subpath(output[0], strip_suffix=".pdf"),
            source=plan.source("baft.report.figures"),
        shell:
            "baft plot-batched-sequence-length --grid {params.grid:q} --out {params.stem:q} 2> >(tee {log:q} >&2)"
