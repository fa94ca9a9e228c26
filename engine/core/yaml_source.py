"""A YAML file as plain values that still know their line and column."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import yaml

from engine.core.errors import ConfigError, ConfigProblem
from engine.core.interpolation import InterpolatedText, interpolate, line_and_column

ConfigPath: TypeAlias = tuple[str | int, ...]
"""Where in a document: the keys and list positions from the top."""

MAX_VALUES: Final = 100_000
"""How many values a document may hold once its aliases are written out: a few nested aliases can
stand for billions."""


class ConfigLoader(yaml.SafeLoader):
    """The safe loader, with the scalars of YAML 1.2.

    `yes`, `off` and `12:30` stay text, as in the configs that people bring along: YAML 1.1 would
    make them a boolean and a number of base 60.
    """


ConfigLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", [*"~nN", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+", [*"-+0123456789"]),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        [*"-+.0123456789"],
    ),
    ("merge", r"<<", ["<"]),
):
    ConfigLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first
    )


def _construct_int(loader: ConfigLoader, node: yaml.ScalarNode) -> int:
    text = node.value
    return int(text, {"0x": 16, "0o": 8}.get(text[:2], 10))


def _construct_float(loader: ConfigLoader, node: yaml.ScalarNode) -> float:
    return float(node.value.replace(".inf", "inf").replace(".nan", "nan").lower())


ConfigLoader.add_constructor("tag:yaml.org,2002:int", _construct_int)
ConfigLoader.add_constructor("tag:yaml.org,2002:float", _construct_float)


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed config file.

    Attributes:
        name: the file as the user named it.
        value: plain dicts, lists and scalars.
    """

    name: str
    value: Any
    _node: yaml.Node
    _text: InterpolatedText

    def place(self, path: ConfigPath, *, at_key: bool = False) -> tuple[int, int]:
        """Return the line and column of a value, or of its key; of the nearest that exists."""
        node = found = self._node
        for step in path:
            child = _child(node, step)
            if child is None:
                break
            key, node = child
            found = key if at_key else node
        return self._text.line_and_column(found.start_mark.index)


def dotted(path: ConfigPath) -> str:
    """Spell a path as people write it: `modules[2].config.port`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def read_document(file: Path, environment: Mapping[str, str]) -> Document:
    """Read a config file, with environment variables put in.

    Raises:
        ConfigError: the file cannot be read, is not text, not YAML, or names unset variables.
    """
    return parse_document(_read_text(file), str(file), environment)


def parse_document(source: str, name: str, environment: Mapping[str, str]) -> Document:
    """Parse the text of a config file, see `read_document`."""
    text = interpolate(source, environment)
    if text.bad:
        problems = []
        for each in text.bad:
            line, column = line_and_column(source, each.offset)
            problems.append(ConfigProblem(f"{name}:{line}:{column}", "", each.message))
        raise ConfigError(tuple(problems))
    try:
        node = yaml.compose(text.text, Loader=ConfigLoader)
    except yaml.YAMLError as error:
        raise ConfigError((_syntax_problem(error, name, text),)) from error
    except RecursionError as error:
        raise ConfigError((ConfigProblem(name, "", "the file is nested too deeply"),)) from error
    if node is None:
        raise ConfigError((ConfigProblem(name, "", EMPTY_FILE),))
    problems = _NodeCheck(name, text).check(node)
    if problems:
        raise ConfigError(tuple(problems))
    loader = ConfigLoader("")
    try:
        value = loader.construct_document(node)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError((_syntax_problem(error, name, text),)) from error
    finally:
        loader.dispose()
    return Document(name, value, node, text)


EMPTY_FILE: Final = (
    "the file is empty: write `modules: []` for the mandatory modules alone, "
    "or start with --use-default-config"
)


def _read_text(file: Path) -> str:
    try:
        raw = file.read_bytes()
    except FileNotFoundError:
        message = "there is no such file; name another with --config, or use --use-default-config"
    except IsADirectoryError:
        message = "this is a directory, not a config file"
    except OSError as error:
        message = f"the file cannot be read: {error.strerror or error}"
    else:
        encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            place = f"{file}:{line}"
            message = f"the file is not {encoding.removesuffix('-sig').upper()} text"
            raise ConfigError((ConfigProblem(place, "", message),)) from error
    raise ConfigError((ConfigProblem(str(file), "", message),))


def _syntax_problem(error: Exception, name: str, text: InterpolatedText) -> ConfigProblem:
    """Put YAML's complaint into one line, at the place in the file as it was written."""
    if isinstance(error, yaml.reader.ReaderError):
        line, column = text.line_and_column(error.position)
        message = f"the character U+{error.character:04X} is not allowed in YAML"
        return ConfigProblem(f"{name}:{line}:{column}", "", message)
    if not isinstance(error, yaml.MarkedYAMLError):
        return ConfigProblem(name, "", f"this is not valid YAML: {error}")
    reason = error.problem or "the text ends too early"
    if "cannot start any token" in reason and r"'\t'" in reason:
        reason = "a tab cannot indent YAML, use spaces"
    if error.context and reason.startswith("but "):
        reason = f"{error.context}, {reason}"
    elif error.context and error.context_mark and error.context_mark is not error.problem_mark:
        line, _ = text.line_and_column(error.context_mark.index)
        reason += f" ({error.context} that starts in line {line})"
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return ConfigProblem(name, "", f"this is not valid YAML: {reason}")
    line, column = text.line_and_column(mark.index)
    return ConfigProblem(f"{name}:{line}:{column}", "", f"this is not valid YAML: {reason}")


class _NodeCheck:
    """Looks for what PyYAML lets pass: duplicate keys, endless and exploding aliases."""

    def __init__(self, name: str, text: InterpolatedText) -> None:
        self._name = name
        self._text = text
        self._problems: list[ConfigProblem] = []
        self._sizes: dict[int, int] = {}
        self._open: set[int] = set()

    def check(self, node: yaml.Node) -> list[ConfigProblem]:
        size = self._size(node)
        if size > MAX_VALUES and not self._problems:
            self._report(node, f"the aliases of this file stand for more than {MAX_VALUES} values")
        return self._problems

    def _size(self, node: yaml.Node) -> int:
        """Return how many values a node holds; each node is looked at once."""
        known = self._sizes.get(id(node))
        if known is not None:
            return known
        if id(node) in self._open:
            self._report(node, "this value contains itself through an alias")
            return 1
        self._open.add(id(node))
        size = 1
        if isinstance(node, yaml.SequenceNode):
            size += sum(self._size(each) for each in node.value)
        elif isinstance(node, yaml.MappingNode):
            self._check_keys(node)
            size += sum(self._size(value) for _, value in node.value)
        self._open.discard(id(node))
        self._sizes[id(node)] = size
        return size

    def _check_keys(self, node: yaml.MappingNode) -> None:
        seen: dict[Hashable, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._report(key, "a key must be text")
                continue
            line, _column = self._text.line_and_column(key.start_mark.index)
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                first = seen[key.value]
                self._report(key, f"the key `{key.value}` is here twice, first in line {first}")
            seen.setdefault(key.value, line)

    def _report(self, node: yaml.Node, message: str) -> None:
        line, column = self._text.line_and_column(node.start_mark.index)
        self._problems.append(ConfigProblem(f"{self._name}:{line}:{column}", "", message))


def _child(node: yaml.Node, step: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """Return the key and value nodes one step down; a list has its value for both."""
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
        return (node.value[step], node.value[step]) if step < len(node.value) else None
    if isinstance(node, yaml.MappingNode):
        for key, value in reversed(node.value):  # what `<<` merges in comes first and loses
            if isinstance(key, yaml.ScalarNode) and key.value == str(step):
                return key, value
    return None
