"""The searches for settings."""

from baft.config import Plan, TuningSpec, parse_study, read_spec
from baft.config.layout import at
from tests.config.plan.studies import TUNED


def tuned(**tuning: object) -> Plan:
    made = Plan(parse_study(TUNED | {"tuning": {"trials": 3, **tuning}}))
    made.check()
    return made


def test_a_study_without_tuning_has_no_job_of_it() -> None:
    made = Plan(parse_study(TUNED))
    assert made.searches.methods == made.searches.cells == ()
    assert made.searches.grid is None
    assert "tune_method" not in made.outputs.job_counts()
    assert not any("tuning" in str(path) for path in made.outputs.all())


def test_every_method_is_tuned_on_the_same_and_what_the_study_gives_stays() -> None:
    made = tuned(records=7, seed=4)
    assert made.searches.methods == ("rome", "narrow")
    assert made.outputs.job_counts()["tune_method"] == 2
    assert [str(path) for path in made.outputs.all() if "tuning" in str(path)] == [
        f"results/tuning/model=smollm2-135m/method={label}/part.parquet" for label in made.searches.methods
    ]
    specs = [read_spec(TuningSpec, made.searches.spec("smollm2-135m", label)) for label in made.searches.methods]
    for spec in specs:
        assert (spec.trials, spec.records, spec.seed) == (3, 7, 4)
        assert spec.cells == (("single", "mini_zsre"), ("single", "mini_wikibio"))
    assert [spec.fixed for spec in specs] == [("steps",), ("rank",)]
    assert [spec.method.settings[name] for spec, name in zip(specs, ("steps", "rank"), strict=True)] == [20, 2]
    long = tuned(protocols=["long"], methods=["narrow"])
    assert long.searches.methods == ("narrow",)
    assert long.searches.cells == (("long", "mini_zsre"),)


def test_a_search_reads_the_covariances_of_every_block_that_it_may_try() -> None:
    made = tuned()
    files = made.searches.covariances("smollm2-135m", "rome")
    assert files[0] == str(at(made.layout.covariances, model="smollm2-135m", layer=5))
    assert len(files) == len(set(files)) > 3
    assert made.searches.covariances("smollm2-135m", "narrow") == []
    assert made.outputs.job_counts()["collect_covariances"] == len(files)
    layers = {"methods": {"rome": {"settings": {"layer": 9}}}, "tuning": {"trials": 1}}
    own = Plan(parse_study(TUNED | layers)).searches.covariances("smollm2-135m", "rome")
    assert own == [str(at(made.layout.covariances, model="smollm2-135m", layer=9))]
