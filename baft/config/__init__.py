"""The config of a study: its classes, its checks, and the plan of jobs that follows from it.

Nothing here imports torch, transformers or pandas, for the Snakefile is parsed again by every job.
"""

from baft.config.cells import AnalysisSpec, Cell, MethodSpec, RunMethod, TuningSpec, model_spec, read_spec
from baft.config.known_models import known_at_planning, known_by_config
from baft.config.layout import Layout, at, folder_of
from baft.config.method_files import shipped_methods, sources_of
from baft.config.methods import check_section, method_settings, said_of_section, section_of
from baft.config.plan import Grid, PageSpec, Plan
from baft.config.schema import config_schema
from baft.config.sections import (
    TEMPLATE_DATE,
    AnalysisConfig,
    BenchmarkConfig,
    CovariancesConfig,
    EvaluationConfig,
    MethodConfig,
    ModelConfig,
    ModulesConfig,
    ProtocolConfig,
    ResourcesConfig,
    StatisticsConfig,
    TuningConfig,
)
from baft.config.sources import page_source, shipped_source, source_digest
from baft.config.study import Study, check_sources, parse_study

__all__ = [
    "TEMPLATE_DATE",
    "AnalysisConfig",
    "AnalysisSpec",
    "BenchmarkConfig",
    "Cell",
    "CovariancesConfig",
    "EvaluationConfig",
    "Grid",
    "Layout",
    "MethodConfig",
    "MethodSpec",
    "ModelConfig",
    "ModulesConfig",
    "PageSpec",
    "Plan",
    "ProtocolConfig",
    "ResourcesConfig",
    "RunMethod",
    "StatisticsConfig",
    "Study",
    "TuningConfig",
    "TuningSpec",
    "at",
    "check_section",
    "check_sources",
    "config_schema",
    "folder_of",
    "known_at_planning",
    "known_by_config",
    "method_settings",
    "model_spec",
    "page_source",
    "parse_study",
    "read_spec",
    "said_of_section",
    "section_of",
    "shipped_methods",
    "shipped_source",
    "source_digest",
    "sources_of",
]
