# What edits of ReFT and BaFT do inside, for the studies that have these methods.

ANALYSES = {
    "redundant_dimensions": "redundant dimensions of ReFT",
    "basis_weights": "basis weights of BaFT",
    "method_picture": "one edit of BaFT",
    "generality_locality_bound": "generality-locality bound",
}


rule analyse_subspace:
    input:
        model=layout.model,
        benchmark=layout.benchmark,
    output:
        layout.bases,
    log:
        layout.log("analyse_subspace", "model", "benchmark"),
    benchmark:
        layout.timing("analyse_subspace", "model", "benchmark")
    threads: study.threads
    resources:
        mem_mb=lambda w, attempt: plan.resources(w.model)["mem_mb"] * attempt,
        runtime=lambda w, attempt: plan.resources(w.model)["runtime"] * attempt,
        gpu=lambda w: plan.resources(w.model)["gpu"],
    params:
        spec=lambda w: plan.analysis_spec(w.model),
        source=plan.analysis_source(),
    shell:
        "OMP_NUM_THREADS={threads}"
        " baft analyse-subspace --spec {params.spec:q} --folder {input.model:q} --benchmark {input.benchmark:q}"
        " --out {output:q} 2> >(tee {log:q} >&2)"


# A rule a figure, for a caption's path takes no wildcards.
for figure, label in ANALYSES.items():

    rule:
        name:
            f"plot_{figure}"
        input:
            plan.grid.bases(),
        output:
            multiext(f"{study.results}/figures/{figure}", ".pdf", ".csv"),
            report(
                f"{study.results}/figures/{figure}.png",
                caption=f"../report/{figure}.rst",
                category="Analysis",
                labels={"figure": label},
            ),
        log:
            layout.log(f"plot_{figure}"),
        benchmark:
            layout.timing(f"plot_{figure}")
        params:
            command=f"plot-{figure.replace('_', '-')}",
            grid=plan.grid.model_dump_json(),
            options=plan.analysis_options(figure),
            stem=subpath(output[0], strip_suffix=".pdf"),
            source=plan.source("baft.report.figures"),
        shell:
            "baft {params.command} --grid {params.grid:q} --out {params.stem:q} {params.options:q}"
            " 2> >(tee {log:q} >&2)"
