# Models, benchmarks, the unedited model's answers and the text covariances: once each, shared by all methods.


# What may need a network, which a cluster's compute nodes often lack.
localrules:
    prepare_model,
    prepare_benchmark,


rule prepare_model:
    input:
        # What is in them counts, which `contents` says.
        ancient(lambda w: plan.models.files(w.model)),
    output:
        directory(layout.model),
    log:
        layout.log("prepare_model", "model"),
    benchmark:
        layout.timing("prepare_model", "model")
    resources:
        mem_mb=lambda w, attempt: plan.models.resources(w.model)["mem_mb"] * attempt,
        runtime=lambda w, attempt: plan.models.resources(w.model)["runtime"] * attempt,
    params:
        spec=lambda w: plan.models.source(w.model),
        contents=lambda w: plan.models.contents(w.model),
        source=source_digest("baft.models.prepare"),
    shell:
        "baft prepare-model --model {params.spec:q} --out {output:q} 2> >(tee {log:q} >&2)"


rule prepare_benchmark:
    input:
        ancient(lambda w: plan.benchmarks.files(w.benchmark)),
    output:
        records=layout.benchmark,
        loading=layout.loading,
    log:
        layout.log("prepare_benchmark", "benchmark"),
    benchmark:
        layout.timing("prepare_benchmark", "benchmark")
    params:
        spec=lambda w: plan.benchmarks.spec(w.benchmark),
        contents=lambda w: plan.benchmarks.contents(w.benchmark),
        source=shipped_source("baft.benchmarks.prepare"),
    shell:
        "baft prepare-benchmark --benchmark {params.spec:q} --name {wildcards.benchmark:q} --out {output.records:q}"
        " 2> >(tee {log:q} >&2)"


rule measure_base:
    input:
        model=layout.model,
        benchmark=layout.benchmark,
    output:
        layout.base,
    log:
        layout.log("measure_base", "model", "benchmark"),
    benchmark:
        layout.timing("measure_base", "model", "benchmark")
    threads: study.threads
    resources:
        mem_mb=lambda w, attempt: plan.models.resources(w.model)["mem_mb"] * attempt,
        runtime=lambda w, attempt: plan.models.resources(w.model)["runtime"] * attempt,
        gpu=lambda w: plan.models.resources(w.model)["gpu"],
    params:
        model=lambda w: plan.models.spec(w.model),
        evaluation=study.evaluation.model_dump_json(),
        source=shipped_source("baft.evaluation.jobs"),
    shell:
        "OMP_NUM_THREADS={threads} BAFT_GPUS={resources.gpu}"
        " baft measure-base --model {params.model:q} --evaluation {params.evaluation:q}"
        " --folder {input.model:q} --benchmark {input.benchmark:q} --out {output:q}"
        " 2> >(tee {log:q} >&2)"


rule collect_covariances:
    input:
        model=layout.model,
        # A function, for braces in a path are no wildcards.
        text=ancient(lambda w: study.covariances.files()),
    output:
        layout.covariances,
    log:
        layout.log("collect_covariances", "model", "layer"),
    benchmark:
        layout.timing("collect_covariances", "model", "layer")
    threads: study.threads
    resources:
        mem_mb=lambda w, attempt: plan.models.resources(w.model)["mem_mb"] * attempt,
        runtime=lambda w, attempt: plan.models.resources(w.model)["runtime"] * attempt,
        gpu=lambda w: plan.models.resources(w.model)["gpu"],
    params:
        numbers=lambda w: plan.models.numbers(w.model),
        # A function of the output is nothing for which Snakemake runs a job again: other studies may share its work out otherwise.
        model=lambda w, output: plan.models.spec(w.model),
        covariances=study.covariances.model_dump_json(),
        contents=lambda w: plan.covariances.contents,
        source=shipped_source("baft.evaluation.jobs"),
    shell:
        "OMP_NUM_THREADS={threads} BAFT_GPUS={resources.gpu}"
        " baft collect-covariances --model {params.model:q} --covariances {params.covariances:q} --layer {wildcards.layer}"
        " --folder {input.model:q} --out {output:q}"
        " 2> >(tee {log:q} >&2)"
