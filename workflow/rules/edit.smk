# The work: one job edits and questions one shard of one cell.


rule edit_shard:
    input:
        model=layout.model,
        benchmark=layout.benchmark,
        base=layout.base,
        # A function has its price at 100,000 jobs, and most studies have no moments.
        moments=(
            (lambda w: plan.moment_files(w.model, w.method))
            if plan.uses_moments
            else []
        ),
    output:
        probes=layout.probes,
        edits=layout.edits,
    log:
        layout.log(
            "edit_shard", "model", "method", "protocol", "benchmark", "seed", "shard"
        ),
    benchmark:
        layout.timing(
            "edit_shard", "model", "method", "protocol", "benchmark", "seed", "shard"
        )
    threads: study.threads
    resources:
        mem_mb=lambda w, attempt: plan.resources(w.model)["mem_mb"] * attempt,
        runtime=lambda w, attempt: plan.resources(w.model)["runtime"] * attempt,
        gpu=lambda w: plan.resources(w.model)["gpu"],
    params:
        spec=lambda w: plan.edit_spec(
            w.model, w.method, w.protocol, w.benchmark, w.seed
        ),
        source=lambda w: plan.edit_source(w.method),
        shards=lambda w: plan.shards(w.benchmark),
        checkpoints=layout.checkpoints,
    shell:
        "OMP_NUM_THREADS={threads}"
        " baft edit-shard --spec {params.spec:q} --folder {input.model:q} --benchmark {input.benchmark:q}"
        " --base {input.base:q} --shard {wildcards.shard} --shards {params.shards}"
        " --probes {output.probes:q} --edits {output.edits:q} --checkpoints {params.checkpoints:q}"
        " {input.moments:q}"
        " 2> >(tee {log:q} >&2)"


rule summarise_cell:
    input:
        probes=lambda w: [
            layout.probes.format(shard=i, **w) for i in range(plan.shards(w.benchmark))
        ],
        edits=lambda w: [
            layout.edits.format(shard=i, **w) for i in range(plan.shards(w.benchmark))
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
        probes=lambda w: plan.cell_folder(layout.probes, **w),
        edits=lambda w: plan.cell_folder(layout.edits, **w),
        shards=lambda w: plan.shards(w.benchmark),
        source=plan.source("baft.results.summaries"),
    shell:
        "baft summarise-cell --probes {params.probes:q} --edits {params.edits:q} --shards {params.shards}"
        " --out {output:q} 2> >(tee {log:q} >&2)"
