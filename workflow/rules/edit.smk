# The work: one job edits and questions one shard of one cell. A large study has 100,000 of them, and every file, function and
# placeholder of the rule has its price in planning (docs/cluster.md).


rule edit_shard:
    input:
        model=layout.model,
        # Made of the records too, which `all` asks for: they need not be named here.
        base=layout.base,
        # Most studies have no covariances.
        covariances=(
            (lambda w: plan.edits.covariances(w.model, w.method))
            if plan.edits.use_covariances
            else []
        ),
    output:
        probes=layout.probes,
        edits=layout.edits,
        kept=plan.edits.kept or [],
    log:
        layout.log(
            "edit_shard", "model", "method", "protocol", "benchmark", "seed", "shard"
        ),
    threads: study.threads
    resources:
        mem_mb=lambda w, attempt: plan.models.resources(w.model)["mem_mb"] * attempt,
        runtime=lambda w, attempt: plan.models.resources(w.model)["runtime"] * attempt,
        gpu=lambda w: plan.models.resources(w.model)["gpu"],
    params:
        options=lambda w: plan.edits.options(
            w.model, w.method, w.protocol, w.benchmark, w.seed
        ),
        source=lambda w: plan.edits.source(w.method),
        # No rows depend on it: what is a function of the output is nothing for which Snakemake runs a job again.
        keep=lambda w, output: plan.edits.keep,
    shell:
        "OMP_NUM_THREADS={threads} BAFT_GPUS={resources.gpu}"
        " baft edit-shard {params.options} --folder {input.model:q} --base {input.base:q} --shard {wildcards.shard}"
        " --probes {output.probes:q} --edits {output.edits:q} --keep {params.keep:q} --kept={output.kept:q} {input.covariances:q}"
        " 2> >(tee {log:q} >&2)"


rule summarise_cell:
    input:
        # They stand for the probes of the same jobs too.
        edits=lambda w: [
            layout.edits.format(shard=i, **w)
            for i in range(plan.benchmarks.shards(w.benchmark))
        ],
    output:
        layout.record,
    log:
        layout.log("summarise_cell", "model", "method", "protocol", "benchmark", "seed"),
    benchmark:
        layout.timing(
            "summarise_cell", "model", "method", "protocol", "benchmark", "seed"
        )
    params:
        # Folders, for a command line has no room for the files of many shards.
        probes=lambda w: folder_of(layout.probes, **w),
        edits=lambda w: folder_of(layout.edits, **w),
        shards=lambda w: plan.benchmarks.shards(w.benchmark),
        checkpoints=lambda w: folder_of(layout.checkpoints, **w),
        source=source_digest("baft.results.summaries"),
    shell:
        "baft summarise-cell --probes {params.probes:q} --edits {params.edits:q} --shards {params.shards}"
        " --checkpoints {params.checkpoints:q} --out {output:q} 2> >(tee {log:q} >&2)"
