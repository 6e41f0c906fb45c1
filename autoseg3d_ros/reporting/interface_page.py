"""The generated parts of docs/interfaces.md: topics, services, parameters, launch arguments, message definitions."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from autoseg3d_ros.config import settings
from autoseg3d_ros.reporting.interface_topics import INPUTS, OUTPUTS, SERVICES, Topic

COMMAND = "autoseg3d doctor --interface-page docs/interfaces.md"
_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


class InterfacePageError(ValueError):
    """A page that cannot be brought up to date; the message says what is wrong with it."""


def renewed(page: str, root: Path) -> str:
    """Return `page` with every generated part as it is today; `root` holds `msg`, `srv` and `launch`.

    A part lies between `<!-- generated: NAME -->` and `<!-- end -->`. Raises InterfacePageError where one is unknown
    or missing.
    """
    parts: dict[str, Callable[[], str]] = {
        "topics": topics,
        "services": services,
        "parameters": parameters,
        "launch": lambda: launch_arguments((root / "launch" / "online_seg.launch.py").read_text()),
        "messages": lambda: definitions(root / "msg"),
        "requests": lambda: definitions(root / "srv"),
    }
    found = [name for _begin, name, _end in _PART.findall(page)]
    if sorted(found) != sorted(parts):
        raise InterfacePageError(f"interface page: expected the generated parts {sorted(parts)}, got {sorted(found)}")
    return _PART.sub(lambda part: f"{part[1]}{parts[part[2]]()}\n{part[3]}", page)


def topics() -> str:
    """Return the tables of what the node subscribes to and publishes."""
    head = ("topic", "type", "QoS", "what", "only with")
    tables = [_table(head, map(_topic_row, group)) for group in (INPUTS, OUTPUTS)]
    return f"In:\n\n{tables[0]}\n\nOut:\n\n{tables[1]}"


def services() -> str:
    """Return the table of services."""
    rows = [(f"`{one.name}`", _short(one.type), one.meaning) for one in SERVICES]
    return _table(("service", "type", "what it does"), rows)


def parameters() -> str:
    """Return the table of every setting, in the order of `config.py`."""
    rows = []
    for key, leaf in settings():
        low, high, choices = (leaf.metadata[name] for name in ("minimum", "maximum", "choices"))
        limits = [f"{sign} {bound:g}" for sign, bound in (("≥", low), ("≤", high)) if bound is not None]
        default = str(leaf.default).lower() if isinstance(leaf.default, bool) else str(leaf.default)
        while_running = "" if leaf.metadata["read_only"] else "yes"
        rows.append(
            (f"`{key}`", default, ", ".join(choices) or ", ".join(limits), while_running, leaf.metadata["help"])
        )
    return _table(("parameter", "default", "allowed", "while running", "meaning"), rows)


def launch_arguments(source: str) -> str:
    """Return the table of launch arguments, from the source text of the launch file."""
    assigned = {
        node.targets[0].id: node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    arguments = assigned["ARGUMENTS"]
    assert isinstance(arguments, ast.Dict)
    rows = []
    for key, value in zip(arguments.keys, arguments.values, strict=True):
        assert key is not None and isinstance(value, ast.Tuple)
        default, meaning = value.elts
        rows.append((f"`{ast.literal_eval(key)}`", _launch_default(default), str(ast.literal_eval(meaning))))
    return _table(("argument", "default", "meaning"), rows)


def definitions(folder: Path) -> str:
    """Return every message or service file of a folder, by name."""
    files = sorted(path for path in folder.iterdir() if path.suffix in (".msg", ".srv"))
    return "\n\n".join(f"### {path.stem}\n\n```\n{path.read_text().strip()}\n```" for path in files)


def _topic_row(topic: Topic) -> tuple[str, ...]:
    return f"`{topic.name}`", _short(topic.type), topic.qos, topic.meaning, topic.condition


def _short(type_name: str) -> str:
    package, _kind, name = type_name.split("/")
    return name if package == "autoseg3d_ros" else f"{package}/{name}"


def _launch_default(value: ast.expr) -> str:
    """Return a text as it is, and a path below the package's share folder as that."""
    if isinstance(value, ast.Constant):
        return str(value.value)
    names = [node.value for node in ast.walk(value) if isinstance(node, ast.Constant)]
    return "/".join(["share/autoseg3d_ros", *sorted(map(str, names), key=ast.unparse(value).index)])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
