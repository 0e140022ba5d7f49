# Tables and figures, a rule for each that the study has, and the pages of them. Which there are is said by the files in
# baft/report/tables and baft/report/figures. What is marked with report() is in Snakemake's own report too.


# The edits' own files are read too, but not named: the records were made of them, and there may be 100,000.
for table in plan.report.tables:

    rule:
        name:
            table.rule
        input:
            plan.report.files(table),
        output:
            expand(f"{study.results}/tables/{{file}}", file=table.files),
        log:
            layout.log(table.rule),
        benchmark:
            layout.timing(table.rule)
        params:
            command=table.command,
            grid=plan.report.spec(table),
            # Cells are only held to it: what is a function of the output is nothing for which Snakemake runs a job again.
            study=lambda w, output: plan.report.config,
            stem=subpath(output[0], strip_suffix=".csv"),
            source=source_digest(table.module),
        shell:
            "baft {params.command} --grid {params.grid:q} --study {params.study:q} --out {params.stem:q}"
            " 2> >(tee {log:q} >&2)"


# A rule a table, for a caption's path takes no wildcards.
for name, label in plan.report.table_labels.items():

    rule:
        name:
            f"show_table_{name}"
        input:
            f"{study.results}/tables/{name}.json",
        output:
            report(
                f"{study.results}/tables/{name}.html",
                caption=f"../report/{name}.rst",
                category="Tables",
                labels={"table": label},
            ),
        log:
            layout.log(f"show_table_{name}"),
        benchmark:
            layout.timing(f"show_table_{name}")
        localrule: True
        params:
            source=page_source("baft.report.page.sortable"),
        shell:
            "baft show-table {input:q} --out {output:q} 2> >(tee {log:q} >&2)"


for figure in plan.report.figures:

    rule:
        name:
            figure.rule
        input:
            plan.report.files(figure),
        output:
            multiext(f"{study.results}/figures/{figure.name}", ".pdf", ".csv"),
            report(
                f"{study.results}/figures/{figure.name}.png",
                caption=f"../report/{figure.name}.rst",
                category=figure.category,
                labels={"figure": figure.label},
            ),
        log:
            layout.log(figure.rule),
        benchmark:
            layout.timing(figure.rule)
        params:
            command=figure.command,
            grid=plan.report.spec(figure),
            # Cells are only held to it: what is a function of the output is nothing for which Snakemake runs a job again.
            study=lambda w, output: plan.report.config,
            stem=subpath(output[0], strip_suffix=".pdf"),
            source=source_digest(figure.module),
        shell:
            "baft {params.command} --grid {params.grid:q} --study {params.study:q} --out {params.stem:q}"
            " 2> >(tee {log:q} >&2)"


rule write_report:
    input:
        expand(f"{study.results}/tables/{{name}}.json", name=plan.report.table_labels),
        # What its sentences are made of.
        expand(f"{study.results}/tables/{{name}}.csv", name=["main", "paired"]),
        expand(f"{study.results}/figures/{{name}}.csv", name=["editing", "tradeoff"]),
        [f"{study.results}/figures/{figure.name}.png" for figure in plan.report.figures],
    output:
        f"{study.results}/report.html",
    log:
        layout.log("write_report"),
    benchmark:
        layout.timing("write_report")
    localrule: True
    params:
        # A function, for braces in a setting are no wildcards.
        spec=lambda w: plan.report.page_spec(),
        source=page_source("baft.report.page.study"),
    shell:
        "baft write-report --spec {params.spec:q} --out {output:q} 2> >(tee {log:q} >&2)"


rule write_answers:
    input:
        # They stand for the probes, of which there may be 100,000 files.
        plan.grids.all.records(),
        [
            layout.base.format(model=model, benchmark=benchmark)
            for model in study.models
            for benchmark in study.benchmarks
        ],
        plan.grids.all.benchmark_files(),
    output:
        f"{study.results}/answers.html",
    log:
        layout.log("write_answers"),
    benchmark:
        layout.timing("write_answers")
    params:
        # A function, for braces in a setting are no wildcards.
        spec=lambda w: plan.report.page_spec(),
        source=page_source("baft.report.page.answers"),
    shell:
        "baft write-answers --spec {params.spec:q} --out {output:q} 2> >(tee {log:q} >&2)"


PRODUCTS = [
    f"{study.results}/report.html",
    f"{study.results}/answers.html",
    *expand(f"{study.results}/tables/{{name}}.html", name=plan.report.table_labels),
    *(
        f"{study.results}/{product.folder}/{file}"
        for product in plan.report.products
        for file in product.files
    ),
]
