"""Studies that the tests plan."""

from pathlib import Path
from typing import Any

from baft.config import Plan, parse_study
from tests.config.toy import write_toy

CELL = ("m", "fast", "single", "mini_zsre", "1")


def plan(folder: Path, **changes: object) -> Plan:
    toy = write_toy(folder)
    config = {
        "models": {"m": {}},
        "benchmarks": {"mini_zsre": {"shards": 2}, "mini_wikibio": {}},
        "methods": {"toy": {"method": toy}, "fast": {"method": toy, "settings": {"lr": 1.0, "covariance": True}}},
        "seeds": [0, 1],
        "zero_edit": False,
    }
    return Plan(parse_study(config | changes))


ABLATED: dict[str, Any] = {
    "models": {"smollm2-135m": {}},
    "benchmarks": {"mini_wiki_recent": {}, "mini_zsre": {}},
    "methods": {"none": None, "reft": {"sweep": {"rank": [8]}}},
    "protocols": {"single": {}, "long": {"length": 2, "benchmarks": ["mini_zsre"]}},
}


def ablated(**ablations: object) -> Plan:
    made = Plan(parse_study({**ABLATED, "ablations": ablations}))
    made.check()
    return made


TUNED = {
    "models": {"smollm2-135m": {}},
    "benchmarks": {"mini_zsre": None, "mini_wikibio": None},
    "methods": {
        "none": None,
        "rome": {"settings": {"steps": 20}},
        "narrow": {"method": "lora", "settings": {"rank": 2}},
    },
    "protocols": {"single": {}, "long": {"length": 4, "benchmarks": ["mini_zsre"]}},
}
