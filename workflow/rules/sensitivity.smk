# One method over layers and ranks, for the studies that ask for it.

SENSITIVITY = []

if plan.sensitivity:

    SENSITIVITY = multiext(
        f"{study.results}/figures/sensitivity", ".pdf", ".png", ".csv"
    )

    rule plot_sensitivity:
        input:
            plan.sensitivity.records(),
        output:
            multiext(f"{study.results}/figures/sensitivity", ".pdf", ".csv"),
            report(
                f"{study.results}/figures/sensitivity.png",
                caption="../report/sensitivity.rst",
                category="Sensitivity",
                labels={"figure": "success and locality over layer and rank"},
            ),
        log:
            layout.log("plot_sensitivity"),
        benchmark:
            layout.timing("plot_sensitivity")
        params:
            grid=plan.sensitivity.model_dump_json(),
            stem=subpath(output[0], strip_suffix=".pdf"),
            source=plan.source("baft.report.figures"),
        shell:
            "baft plot-sensitivity --grid {params.grid:q} --out {params.stem:q} 2> >(tee {log:q} >&2)"
