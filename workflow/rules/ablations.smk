# One method and variants of it, for the studies that ask for it.

if plan.ablations:

    rule tabulate_ablations:
        input:
            plan.ablations.records(),
        output:
            multiext(f"{study.results}/tables/ablations", ".csv", ".md", ".tex"),
        log:
            layout.log("tabulate_ablations"),
        benchmark:
            layout.timing("tabulate_ablations")
        params:
            grid=plan.ablations.model_dump_json(),
            stem=subpath(output[0], strip_suffix=".csv"),
            source=plan.source("baft.report.ablations"),
        shell:
            "baft tabulate-ablations --grid {params.grid:q} --out {params.stem:q} 2> >(tee {log:q} >&2)"
