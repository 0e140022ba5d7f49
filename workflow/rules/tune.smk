# The search for the best settings of each method, in studies that tune: one job a model and method, trial after trial.


rule tune_method:
    input:
        model=layout.model,
        # Made of the records too.
        bases=lambda w: plan.searches.bases(w.model),
        covariances=lambda w: plan.searches.covariances(w.model, w.method),
    output:
        layout.tuning,
    log:
        layout.log("tune_method", "model", "method"),
    benchmark:
        layout.timing("tune_method", "model", "method")
    threads: study.threads
    resources:
        mem_mb=lambda w, attempt: plan.models.resources(w.model)["mem_mb"] * attempt,
        runtime=lambda w, attempt: plan.models.resources(w.model)["runtime"] * attempt,
        gpu=lambda w: plan.models.resources(w.model)["gpu"],
    params:
        spec=lambda w: plan.searches.spec(w.model, w.method),
        files=lambda w: plan.searches.options(w.model),
        source=lambda w: plan.searches.source(w.method),
        # No trial depends on it.
        kept=lambda w, output: layout.trials.format(**w),
    shell:
        "OMP_NUM_THREADS={threads} BAFT_GPUS={resources.gpu}"
        " baft tune-method --spec {params.spec:q} --folder {input.model:q} {params.files} --kept {params.kept:q}"
        " --out {output:q} {input.covariances:q}"
        " 2> >(tee {log:q} >&2)"
