# Tables and figures over all cells, for the HTML report of `snakemake --report`.

TABLES = {
    "main": "means",
    "paired": "paired differences",
    "area": "area under the trade-off",
    "cost": "cost of an edit",
    **({"forgetting": "what is forgotten"} if plan.sequences else {}),
    **({"ablations": "ablations"} if plan.ablations else {}),
    "loading": "benchmarks as read",
}


# The edits' own files are read too, but not named: the records were made of them, and there may be 100,000.
rule tabulate:
    input:
        plan.grid.records(),
    output:
        f"{study.results}/tables/main_wide.csv",
        expand(
            f"{study.results}/tables/{{table}}.{{suffix}}",
            table=["main", "paired", "cost"],
            suffix=["csv", "md", "tex"],
        ),
    log:
        layout.log("tabulate"),
    benchmark:
        layout.timing("tabulate")
    params:
        grid=plan.grid.model_dump_json(),
        folder=subpath(output[0], parent=True),
        source=plan.source("baft.report.tables"),
    shell:
        "baft tabulate --grid {params.grid:q} --out {params.folder:q} 2> >(tee {log:q} >&2)"


rule tabulate_area:
    input:
        plan.grid.curve_records(),
    output:
        multiext(f"{study.results}/tables/area", ".csv", ".md", ".tex"),
    log:
        layout.log("tabulate_area"),
    benchmark:
        layout.timing("tabulate_area")
    params:
        grid=plan.grid.model_dump_json(),
        stem=subpath(output[0], strip_suffix=".csv"),
        source=plan.source("baft.report.tradeoff"),
    shell:
        "baft tabulate-area --grid {params.grid:q} --out {params.stem:q} 2> >(tee {log:q} >&2)"


rule tabulate_loading:
    input:
        plan.grid.benchmark_files(),
    output:
        multiext(f"{study.results}/tables/loading", ".csv", ".md", ".tex"),
    log:
        layout.log("tabulate_loading"),
    benchmark:
        layout.timing("tabulate_loading")
    params:
        grid=plan.grid.model_dump_json(),
        stem=subpath(output[0], strip_suffix=".csv"),
        source=plan.source("baft.report.loading"),
    shell:
        "baft tabulate-loading --grid {params.grid:q} --out {params.stem:q} 2> >(tee {log:q} >&2)"


# A rule a table, for a caption's path takes no wildcards.
for table, label in TABLES.items():

    rule:
        name:
            f"show_table_{table}"
        input:
            f"{study.results}/tables/{table}.md",
        output:
            report(
                f"{study.results}/tables/{table}.html",
                caption=f"../report/{table}.rst",
                category="Tables",
                labels={"table": label},
            ),
        log:
            layout.log(f"show_table_{table}"),
        benchmark:
            layout.timing(f"show_table_{table}")
        localrule: True
        params:
            source=plan.source("baft.report.pages"),
        shell:
            "baft show-table {input:q} --out {output:q} 2> >(tee {log:q} >&2)"


rule plot_tradeoff:
    input:
        plan.grid.curve_records(),
    output:
        multiext(f"{study.results}/figures/tradeoff", ".pdf", ".csv"),
        report(
            f"{study.results}/figures/tradeoff.png",
            caption="../report/tradeoff.rst",
            category="Trade-off",
            labels={"figure": "edit success against locality"},
        ),
    log:
        layout.log("plot_tradeoff"),
    benchmark:
        layout.timing("plot_tradeoff")
    params:
        grid=plan.grid.model_dump_json(),
        stem=subpath(output[0], strip_suffix=".pdf"),
        source=plan.source("baft.report.figures"),
    shell:
        "baft plot-tradeoff --grid {params.grid:q} --out {params.stem:q} 2> >(tee {log:q} >&2)"


rule plot_parameters:
    input:
        plan.grid.records(),
    output:
        multiext(f"{study.results}/figures/parameters", ".pdf", ".csv"),
        report(
            f"{study.results}/figures/parameters.png",
            caption="../report/parameters.rst",
            category="Cost",
            labels={"figure": "parameters beside success"},
        ),
    log:
        layout.log("plot_parameters"),
    benchmark:
        layout.timing("plot_parameters")
    params:
        grid=plan.grid.model_dump_json(),
        stem=subpath(output[0], strip_suffix=".pdf"),
        source=plan.source("baft.report.figures"),
    shell:
        "baft plot-parameters --grid {params.grid:q} --out {params.stem:q} 2> >(tee {log:q} >&2)"
