from snakemake.utils import min_version, validate

min_version("9.0")


# A config given on the command line stands alone: laid over the default, it would keep the default's models.
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/study.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/edit.smk"
include: "workflow/rules/tune.smk"
include: "workflow/rules/analyse.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        PRODUCTS,
        lambda w: plan.outputs.asked(),
