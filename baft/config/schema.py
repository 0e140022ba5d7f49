"""The JSON schema of the config, for Snakemake's validation and for editors."""

from __future__ import annotations

import json

from baft.config.study import Study


def config_schema() -> str:
    """The schema as the text of ``workflow/schemas/config.schema.json``."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Study.model_json_schema()
    return json.dumps(schema, indent=2) + "\n"
