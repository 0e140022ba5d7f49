# What edits do inside, for the studies that have methods whose edits are made of bases.


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
        mem_mb=lambda w, attempt: plan.models.resources(w.model)["mem_mb"] * attempt,
        runtime=lambda w, attempt: plan.models.resources(w.model)["runtime"] * attempt,
        gpu=lambda w: plan.models.resources(w.model)["gpu"],
    params:
        spec=lambda w: plan.analyses.spec(w.model),
        source=plan.analyses.source(),
    shell:
        "OMP_NUM_THREADS={threads} BAFT_GPUS={resources.gpu}"
        " baft analyse-subspace --spec {params.spec:q} --folder {input.model:q} --benchmark {input.benchmark:q}"
        " --out {output:q} 2> >(tee {log:q} >&2)"
