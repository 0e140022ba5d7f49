# Tables and figures, for the HTML report of `snakemake --report`: a rule for each that the study has. Which there are is said
# by the files in baft/report/tables and baft/report/figures.


# The edits' own files are read too, but not named: the records were made of them, and there may be 100,000.
for table in plan.tables:

    rule:
        name:
            table.rule
        input:
            plan.product_files(table),
        output:
            expand(f"{study.results}/tables/{{file}}", file=table.files),
        log:
            layout.log(table.rule),
        benchmark:
            layout.timing(table.rule)
        params:
            command=table.command,
            grid=plan.product_spec(table),
            stem=subpath(output[0], strip_suffix=".csv"),
            source=plan.source(table.module),
        shell:
            "baft {params.command} --grid {params.grid:q} --out {params.stem:q} 2> >(tee {log:q} >&2)"


# A rule a table, for a caption's path takes no wildcards.
for name, label in plan.table_labels.items():

    rule:
        name:
            f"show_table_{name}"
        input:
            f"{study.results}/tables/{name}.md",
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
            source=plan.source("baft.report.pages"),
        shell:
            "baft show-table {input:q} --out {output:q} 2> >(tee {log:q} >&2)"


for figure in plan.figures:

    rule:
        name:
            figure.rule
        input:
            plan.product_files(figure),
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
            grid=plan.product_spec(figure),
            stem=subpath(output[0], strip_suffix=".pdf"),
            source=plan.source(figure.module),
        shell:
            "baft {params.command} --grid {params.grid:q} --out {params.stem:q} 2> >(tee {log:q} >&2)"


PRODUCTS = [
    *expand(f"{study.results}/tables/{{name}}.html", name=plan.table_labels),
    *(
        f"{study.results}/{product.folder}/{file}"
        for product in plan.products
        for file in product.files
    ),
]
