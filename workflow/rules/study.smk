# The config, checked, and what follows from it: `plan` answers the rules' questions.
import os
import sys
from pathlib import Path

from snakemake.logging import logger as snakemake_logger

from baft.benchmarks.planned import check_files
from baft.cli.job_lines import shorten
from baft.config import (
    Plan,
    check_sources,
    folder_of,
    page_source,
    parse_study,
    shipped_source,
    source_digest,
)
from baft.config.reading import read_configs
from baft.errors import UserError
from baft.results.locks import hold_until_exit, sign

# A table has hundreds of files, which nobody reads in one line.
snakemake_logger.addFilter(shorten)

# Not a job's own Snakemake.
if workflow.is_main_process:
    sign(Path.cwd())

try:
    # Read again, for Snakemake takes the last of two equal keys without a word, and numbers in lists on its command line
    # as text.
    study = parse_study(
        read_configs(workflow.configfiles, workflow.config_settings.config_args or [])
    )
    plan = Plan(study)
    plan.check()
    check_sources(study)
    # Not again for each job.
    if workflow.is_main_process:
        check_files(study)
except UserError as error:
    # Snakemake shows an exception with the Snakefile's lines around it, which is no help with a config.
    sys.exit(f"config: {error}")

# With all defaults, so that captions find every key they read.
config.update(study.model_dump(mode="json"))
validate(config, "../schemas/config.schema.json")

layout = plan.layout


if study.container:

    container: study.container


wildcard_constraints:
    model="|".join(map(re.escape, study.models)),
    method="|".join(map(re.escape, plan.lineup.methods)),
    protocol="|".join(map(re.escape, study.protocols)),
    benchmark="|".join(map(re.escape, study.benchmarks)),
    seed=r"\d+",
    shard=r"\d+",
    layer=r"\d+(\.\d+)?",


# The jobs' own environment, whichever way Snakemake was started: the `baft` beside it, threads as asked for. SIGTERM is
# for `baft` alone: the shell waits for it to clean up, and `tee` writes its last words.
shell.prefix(
    f"set -euo pipefail; trap '' TERM; "
    f'export PATH={os.path.dirname(sys.executable)!r}:"$PATH" PYTHONUNBUFFERED=1 TQDM_DISABLE=1; '
)


# Another folder's run may write the same results.
onstart:
    try:
        hold_until_exit(Path(study.results))
    except UserError as error:
        sys.exit(f"baft: {error}")
