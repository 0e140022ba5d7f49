"""Config files: what YAML takes in silence is refused in one sentence."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from baft.config import Plan, Study, methods, parse_study
from baft.config.reading import plain, read_config, read_configs, read_value
from baft.errors import UserError


def complaint(folder: Path, content: str | bytes) -> str:
    path = folder / "study.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError) as caught:
        parse_study(read_config(path))
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400
    return message


BILLION = "\n".join(
    [f"{name}: &{name} [{', '.join([f'*{below}'] * 9)}]" for below, name in zip("abcdefg", "bcdefgh", strict=True)]
)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("benchmarks:\n  mine: {limit: 2}\n  mine: {limit: 3}\n", ["benchmarks", "'mine' twice", "line 3"]),
        ("methods: {reft: {settings: {rank: 4}}, reft: {settings: {rank: 5}}}", ["methods", "'reft' twice"]),
        ("methods:\n  reft:\n    settings:\n      rank: 4\n      rank: 5\n", ["methods.reft.settings", "'rank' twice"]),
        ("threads: 1\nthreads: 2\n", ["'threads' twice"]),
        ("models: {1: , '1': }", ["models", "'1' twice"]),
        ("models: {0x1: , '0x1': }", ["'0x1' twice"]),
        ("- threads\n", ["must hold a mapping"]),
        ("[]\n", ["must hold a mapping"]),
        ("", ["must hold a mapping"]),
        ("just words", ["must hold a mapping"]),
        ("study: caf\xe9".encode("latin-1"), ["not UTF-8 text"]),
        ("study: a".encode("utf-16"), ["not UTF-8 text"]),
        ("study: a\x00b", ["not YAML"]),
        ('study: "a\\0b"', ["study is", "character"]),
        ('study: "\\ud800"', ["study is", "character"]),
        ("a: &a [*a]", ["a.0", "refers to itself"]),
        ("a: &a {b: *a}", ["a.b", "refers to itself"]),
        ("a: &a\n  <<: *a\n", ["a.<<", "refers to itself"]),
        ("a: &a [x, x, x, x, x, x, x, x, x]\n" + BILLION, ["more than 100000 values"]),
        ("a: " + "[" * 30 + "]" * 30, ["a.0.0", "nested too deeply"]),
        ("a: " + "[" * 3000 + "]" * 3000, ["nested too deeply"]),
        ("study:\n\t x: 1\n", ["line 2", "indent with spaces"]),
        ("study: a\n---\nstudy: b\n", ["not YAML", "line 2"]),
        ("study: !!python/object/apply:os.system [ls]", ["study", "YAML tag"]),
        ("study: !mine x", ["study", "YAML tag '!mine'"]),
        ("study: !!binary aGk=", ["YAML tag '!!binary'"]),
        ("!!binary aGk=: 3", ["YAML tag '!!binary'"]),
        ("models: !!set {a, b}", ["YAML tag '!!set'"]),
        ("threads: !!int two", ["threads in", "is 'two'", "as int"]),
        ("threads: " + "9" * 5000, ["threads in", "as int"]),
        ("threads: 010", ["threads in", "is 010", "octal"]),
        ("? [a, b]\n: 3", ["a list or mapping for a key in line 1"]),
        ("? \n: 3", ["an empty key in line 1"]),
        ("a: *nothing", ["line 1", "undefined alias"]),
        ("models: {m: {<<: 3}}", ["models.m.<<", "must be a mapping"]),
        ("methods: {ft_l: {settings: {lr: .inf}}}", ["methods.ft_l.settings.lr is inf", "finite"]),
        ("methods: {ft_l: {settings: {lr: -.inf}}}", ["methods.ft_l.settings.lr is -inf", "finite"]),
        ("statistics: {level: .nan}", ["statistics.level is nan", "finite"]),
        ("methods: {ft_l: {sweep: {lr: [1.0, 1.0e+999]}}}", ["methods.ft_l.sweep.lr.1 is inf", "finite"]),
        (f"models: {{{'m' * 200}: }}", ["models.'mmm", "at most 60 characters"]),
    ],
)
def test_what_yaml_would_take_in_silence_is_refused(tmp_path: Path, content: str | bytes, parts: list[str]) -> None:
    message = complaint(tmp_path, content)
    for part in parts:
        assert part in message


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        read_config(tmp_path)


def test_a_key_is_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("models: {1: {}, 1.0: {}, yes: {}, 2026-01-02: {}, 0x10: {}}\nstudy: 2026-01-02\n")
    config = read_config(path)
    assert list(config["models"]) == ["1", "1.0", "yes", "2026-01-02", "0x10"]
    assert config["study"] == "2026-01-02"


def test_values_are_those_of_yaml(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(
        b"\xef\xbb\xbf" + b"a: [1, 1.5, true, null, 'x', ~, -3]\nb: &b {c: 1, d: 2}\ne: {<<: *b, d: 3}\nf: *b\n"
    )
    assert read_config(path) == {
        "a": [1, 1.5, True, None, "x", None, -3],
        "b": {"c": 1, "d": 2},
        "e": {"c": 1, "d": 3},
        "f": {"c": 1, "d": 2},
    }


def test_later_files_and_the_command_line_lie_over_earlier_ones(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("models: {a: {dtype: float32}}\nseeds: [0]\nstudy: one\n")
    second.write_text("models: {b: {}}\nseeds: [1]\n")
    given = ["seeds=[2, 3]", "models={a: {streams: 2}}", "container="]
    assert read_configs([first, second], given) == {
        "models": {"a": {"dtype": "float32", "streams": 2}, "b": {}},
        "seeds": [2, 3],
        "study": "one",
        "container": None,
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["threads=1", "threads=2"], "--config has threads twice"),
        (["methods={none: , none: }"], "--config methods has 'none' twice"),
        (["threads"], "must be key=value"),
        (["methods=[none"], "--config methods is not YAML"),
    ],
)
def test_the_command_line_is_held_to_the_same(given: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_configs([], given)


def test_a_config_of_python_objects_is_held_to_the_same() -> None:
    assert plain({"a": (1, Path("x")), 2: date(2026, 1, 2)}) == {"a": [1, "x"], "2": "2026-01-02"}
    loop: dict = {}
    loop["again"] = loop
    for config, message in (
        ({"models": {1: None, "1": None}}, "models has '1' twice"),
        ({"study": b"x"}, "study is of type bytes"),
        ({("a", "b"): 1}, "for a key"),
        ({None: 1}, "for a key"),
        ({"seeds": {0, 1}}, "seeds is of type set"),
        (loop, "again.again.again is nested too deeply"),
    ):
        with pytest.raises(UserError, match=message):
            parse_study(config)


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates(), st.binary(max_size=4)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=8), SCALARS.filter(lambda x: x is not None)), inner, max_size=3),
    ),
    max_leaves=8,
)
# Keys that there are, so that what is below them is met too.
CONFIGS = st.dictionaries(
    st.one_of(st.sampled_from(sorted(Study.model_fields)), st.text(max_size=5)),
    st.one_of(
        VALUES,
        st.dictionaries(
            st.one_of(
                st.sampled_from(["reft", "none", "mini_zsre", "settings", "path", "source", "size"]),
                st.text(max_size=5),
            ),
            st.one_of(VALUES, st.sampled_from(["embedded", "file", "hub", {"rank": 0}, {"settings": {"rank": 1}}])),
            max_size=3,
        ),
    ),
    max_size=4,
)


def _parsed_or_refused(make: object) -> None:
    try:
        Plan(parse_study(make())).check()  # type: ignore[operator]
    except UserError as error:
        assert str(error) and "\n" not in str(error)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(CONFIGS)
def test_any_config_is_a_study_or_one_sentence(config: dict) -> None:
    _parsed_or_refused(lambda: config)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(st.text(alphabet="ab:1 -[]{}&*<!'\"\n\t#?|>%@`.,~", max_size=60), CONFIGS.map(lambda c: yaml.dump(c))))
def test_any_text_is_a_study_or_one_sentence(text: str) -> None:
    _parsed_or_refused(lambda: read_value("{}\n" if text == "" else text, "the config") or {})


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60))
def test_any_file_is_a_study_or_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(content)
    _parsed_or_refused(lambda: read_config(path))


def test_a_methods_own_file_is_held_to_the_same(own_settings: Path) -> None:
    (own_settings / "reft.yaml").write_text("smollm2-135m:\n  rank: 4\n  rank: 8\n")
    with pytest.raises(UserError, match=r"smollm2-135m in .*reft\.yaml has 'rank' twice"):
        methods.sections_of("reft")
