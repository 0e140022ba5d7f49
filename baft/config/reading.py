"""Config files read strictly: what YAML would take in silence is refused in one sentence.

PyYAML keeps the last of two equal keys, builds Python objects, dates and bytes, and follows an anchor into itself. Here a
key is the text that is written, no key stands twice in a section, and a value is a text, number, truth value, null, list
or mapping.
"""

from __future__ import annotations

import copy
import datetime
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from baft.config.messages import dotted, shown
from baft.errors import UserError

# Far more than any config has; an anchor that is used again counts each time, so that it cannot grow without bound.
_DEEPEST = 20
_MOST = 100_000
_TAG = "tag:yaml.org,2002:"
# A date, '=' and '<<' stand for what is written.
_WRITTEN = frozenset(_TAG + name for name in ("timestamp", "value", "merge"))
# YAML 1.1 reads 010 as 8 and 1:30 as 90.
_SURPRISING = re.compile(r"[-+]?0[0-7_]+|.*:.*")
# The null character and halves of surrogate pairs.
_UNFIT = re.compile("[\0\ud800-\udfff]")
_SCALARS = frozenset(_TAG + name for name in ("null", "bool", "int", "float", "str"))


def read_config(path: Path) -> dict[str, Any]:
    """The content of a config file.

    Raises :class:`~baft.errors.UserError` if the file cannot be read, is not UTF-8 text or YAML, holds something other
    than a mapping (nothing at all, say), or has a key twice in one section.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start} cannot be read); save it as UTF-8.") from None
    return _mapping(text, str(path))


def read_configs(paths: Iterable[Path | str], given: Sequence[str] = ()) -> dict[str, Any]:
    """Several config files, later ones over earlier ones, and over them ``key=value`` pairs whose values are YAML.

    Sections are merged key by key, as Snakemake does with its ``--configfile`` and ``--config``. Raises as
    :func:`read_config`, also for a key that is given twice.
    """
    config: dict[str, Any] = {}
    for path in paths:
        _lay_over(config, read_config(Path(path)))
    seen: set[str] = set()
    for pair in given:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise UserError(f"--config is {pair!r}, but must be key=value.")
        if key in seen:
            raise UserError(f"--config has {key} twice; leave one of them out.")
        seen.add(key)
        _lay_over(config, {key: read_value(value, f"--config {key}")})
    return config


def read_value(text: str, place: str) -> Any:
    """A value written as YAML, outside a file; ``place`` is what an error calls it."""
    return _content(text, place)


def plain(value: Any, path: tuple[str, ...] = ()) -> Any:
    """A config as JSON can hold it, whoever made it: mappings by text, lists, texts, finite numbers, truth values, null.

    A path or date is its text, a number as a key the text of it. Raises :class:`~baft.errors.UserError` for any other
    object, for two keys of one text, and for texts that no file name can hold.
    """
    name = dotted(path) or "The config"
    if len(path) > _DEEPEST:
        raise UserError(f"{dotted(path[:3])} is nested too deeply to be a config.")
    if isinstance(value, Mapping):
        return _plain_section(value, path, name)
    if isinstance(value, (list, tuple)):
        return [plain(item, (*path, str(index))) for index, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{name} is {value}, but must be a finite number.")
    if isinstance(value, (Path, datetime.date)):
        return str(value)
    if isinstance(value, str) and _UNFIT.search(value):
        raise UserError(f"{name} is {shown(value)}, which has a character that no text can have.")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise UserError(f"{name} is of type {type(value).__name__}, but must be a text, number, list or mapping.")


def _plain_section(section: Mapping[Any, Any], path: tuple[str, ...], name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in section.items():
        text = str(key)
        if isinstance(key, bool) or not isinstance(key, (str, int, float, datetime.date)) or not text.isprintable():
            raise UserError(f"{name} has {shown(key)} for a key, but must have names.")
        if text in found:
            raise UserError(f"{name} has {text!r} twice, as a number and as text; give one of them another name.")
        found[text] = plain(value, (*path, text))
    return found


def _mapping(text: str, place: str) -> dict[str, Any]:
    content = _content(text, place)
    if not isinstance(content, dict):
        raise UserError(f"{place} must hold a mapping from keys to values.")
    return content


def _content(text: str, place: str) -> Any:
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        return None if node is None else _Reader(loader, place).value(node, ())
    except yaml.YAMLError as error:
        raise UserError(f"{place} is not YAML: {_problem(error)}.") from None
    except RecursionError:
        raise UserError(f"{place} is nested too deeply to be a config.") from None
    finally:
        if loader is not None:
            loader.dispose()


class _Reader:
    """Turns the nodes of one document into values."""

    def __init__(self, loader: yaml.SafeLoader, place: str) -> None:
        self._loader = loader
        self._place = place
        self._left = _MOST
        self._open: list[yaml.Node] = []

    def value(self, node: yaml.Node, path: tuple[str, ...]) -> Any:
        self._left -= 1
        if self._left < 0:
            raise UserError(f"{self._place} stands for more than {_MOST} values, which is no config.")
        if any(node is above for above in self._open):
            raise UserError(f"{self._named(path)} refers to itself.")
        if len(self._open) >= _DEEPEST:
            raise UserError(f"{self._named(path[:3])} is nested too deeply to be a config.")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        self._open.append(node)
        try:
            if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
                return [self.value(item, (*path, str(index))) for index, item in enumerate(node.value)]
            if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
                return self._section(node, path)
        finally:
            self._open.pop()
        raise self._tagged(node, path)

    def _section(self, node: yaml.MappingNode, path: tuple[str, ...]) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                for part in self._merged(value_node, path):
                    merged = part | merged
                continue
            key = self._key(key_node, path)
            if key in own:
                raise UserError(
                    f"{self._named(path)} has {key!r} twice (again in line {key_node.start_mark.line + 1}); "
                    "give one of them another name or leave it out."
                )
            own[key] = self.value(value_node, (*path, key))
        return merged | own

    def _merged(self, node: yaml.Node, path: tuple[str, ...]) -> list[dict[str, Any]]:
        """What ``<<`` adds: a section or a list of them, the first of which counts most."""
        value = self.value(node, (*path, "<<"))
        parts = value if isinstance(value, list) else [value]
        if not all(isinstance(part, dict) for part in parts):
            raise UserError(f"{self._named((*path, '<<'))} must be a mapping, or a list of mappings.")
        return parts

    def _key(self, node: yaml.Node, path: tuple[str, ...]) -> str:
        if not isinstance(node, yaml.ScalarNode):
            line = node.start_mark.line + 1
            raise UserError(f"{self._named(path)} has a list or mapping for a key in line {line}; write a name.")
        if node.tag not in _SCALARS and node.tag != f"{_TAG}timestamp":
            raise self._tagged(node, path)
        if not node.value:
            raise UserError(f"{self._named(path)} has an empty key in line {node.start_mark.line + 1}; write a name.")
        return str(node.value)

    def _scalar(self, node: yaml.ScalarNode, path: tuple[str, ...]) -> Any:
        if node.tag in _WRITTEN and node.style is None:
            return str(node.value)
        if node.tag not in _SCALARS:
            raise self._tagged(node, path)
        if node.tag == f"{_TAG}int" and _SURPRISING.fullmatch(node.value):
            if ":" in node.value:
                return str(node.value)
            raise UserError(f"{self._named(path)} is {node.value}, which YAML takes as octal; drop the leading zero.")
        try:
            return self._loader.construct_object(node)
        except (ValueError, KeyError):
            kind = node.tag.removeprefix(_TAG)
            raise UserError(f"{self._named(path)} is {shown(node.value)}, which YAML cannot read as {kind}.") from None

    def _tagged(self, node: yaml.Node, path: tuple[str, ...]) -> UserError:
        tag = node.tag.replace(_TAG, "!!")
        return UserError(f"{self._named(path)} has the YAML tag {shown(tag)}; a config has plain values only.")

    def _named(self, path: Sequence[str]) -> str:
        return f"{dotted(path)} in {self._place}" if path else self._place


def _lay_over(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, Mapping) and isinstance(below.get(key), dict):
            _lay_over(below[key], value)
        else:
            below[key] = copy.deepcopy(value)


def _problem(error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return " ".join(str(error).split())
    hint = " (indent with spaces, not tabs)" if r"'\t'" in (error.problem or "") else ""
    return f"line {error.problem_mark.line + 1}: {error.problem}{hint}"
