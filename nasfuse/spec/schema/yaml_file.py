"""Reading of YAML files with the line of every key, and writing in a fixed format."""

import re
from pathlib import Path
from typing import Any

import yaml

try:
    from yaml import CSafeLoader as _Parser  # seven times as fast
except ImportError:  # a PyYAML that was built without LibYAML
    from yaml import SafeLoader as _Parser  # type: ignore[assignment]

from nasfuse.errors import ConfigError, MissingFileError, Problem

KeyPath = tuple[str | int, ...]

_FLOAT = re.compile(r"^[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.(?:inf|nan))$")


_DEEPEST = 32  # largest nesting depth; recipes and studies have about a third of it


_MOST = 100_000  # entries, those of aliases counted where they are used; aliases of aliases have 10^8 in eight lines


_LONGEST = 2**15  # characters; LibYAML overflows the stack, and ends the process, at about 100,000 nested brackets


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars: `1e-3` is a number and `no`, `on` are words."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if not tag.endswith((":float", ":bool", ":timestamp"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


class _FastLoader(_Parser):
    """The same scalars."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


class Document:
    """A parsed YAML mapping with the line of each key.

    Attributes:
        source: File name, used in messages.
        values: Plain mapping.
        lines: Line number of every key path, counted from 1.
    """

    def __init__(self, source: str, values: dict[str, Any], lines: dict[KeyPath, int]) -> None:
        """Stores the parsed `values` and the `lines` of their keys."""
        self.source = source
        self.values = values
        self.lines = lines

    def line_of(self, path: KeyPath) -> int | None:
        """Returns the line of `path`, or of its nearest parent in the file; None if there is neither."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[:-1]
        return None


def read_document(path: Path) -> Document:
    """Returns the mapping in the YAML file at `path`.

    Raises:
        MissingFileError: The file does not exist.
        ConfigError: The file is not YAML, not a mapping, or has a key twice.
    """
    if not path.is_file():
        what = "this is a folder" if path.is_dir() else "no such file"
        raise MissingFileError(f"{what}: {path}. Give the path of an existing YAML file.")
    try:
        text = path.read_text(encoding="utf-8")
        node, lines, problems, values = _parse(text)
    except RecursionError:
        raise ConfigError(str(path), [Problem("", "nested too deeply")]) from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or `!!int x`
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or str(error)
        problem = Problem("", f"not valid YAML: {what}", mark.line + 1 if mark else None)
        raise ConfigError(str(path), [problem]) from error
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(str(path), [Problem("", "the file must hold a YAML mapping (key: value lines)")])
    if problems:
        raise ConfigError(str(path), problems)
    return Document(str(path), values, lines)


def _parse(text: str) -> tuple[yaml.Node | None, dict[KeyPath, int], list[Problem], Any]:
    """Returns the root of `text`, the lines of its keys, what is wrong with these, and its values."""
    if len(text) < _LONGEST:
        try:
            return _load(_FastLoader(text))
        except yaml.YAMLError:
            pass  # PyYAML's own parser says better what is wrong
    return _load(_Loader(text))


def _load(loader: Any) -> tuple[yaml.Node | None, dict[KeyPath, int], list[Problem], Any]:
    lines: dict[KeyPath, int] = {}
    problems: list[Problem] = []
    try:
        node = loader.get_single_node()
        if node is not None:
            _walk(node, (), lines, problems)  # first, because the constructor moves merged keys into their mappings
        return node, lines, problems, None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _walk(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], problems: list[Problem]) -> None:
    if len(lines) > _MOST:
        raise ValueError(f"it has more than {_MOST:,} entries; do aliases multiply them?")
    if len(path) > _DEEPEST:
        problems.append(Problem("", "nested too deeply; does an alias contain itself?", node.start_mark.line + 1))
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = str(key_node.value)
            child = (*path, key)
            if key in seen:
                line = key_node.start_mark.line + 1
                problems.append(Problem(dotted(child), "this key is given twice; keep one", line))
            seen.add(key)
            lines[child] = key_node.start_mark.line + 1
            _walk(value_node, child, lines, problems)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*path, index)] = item.start_mark.line + 1
            _walk(item, (*path, index), lines, problems)


def dotted(path: KeyPath) -> str:
    """Returns `path` in dotted notation.

    >>> dotted(("network", "route", 0))
    'network.route[0]'
    """
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else part)
    return text


_SafeDumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # that of libyaml is four times as fast


class _Dumper(_SafeDumper):  # type: ignore[misc]
    """Block mappings, short lists on one line."""


def _represent_list(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.Node:
    flat = all(not isinstance(value, dict | list) for value in values)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=flat)


_Dumper.add_representer(list, _represent_list)
# A word that `_Loader` reads as a number, such as 1e3, is written in quotes.
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def to_yaml(values: dict[str, Any]) -> str:
    """Returns `values` as YAML text, keys in their given order."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
