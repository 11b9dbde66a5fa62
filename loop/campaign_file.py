"""What a campaign file may say, told from the settings classes: a commented file to start from, and a page of keys.

CampaignSettings -> keys() -> template(name)   what `deltaloop init` writes
                           -> reference()      docs/campaign_file.md, by scripts/make_config_docs.py
"""

from __future__ import annotations

import itertools
import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from loop.config import CampaignSettings
from loop.engine_settings import Engine, Engines
from loop.section import Section

WIDTH = 100


@dataclass(frozen=True)
class Key:
    """One key of a campaign file."""

    name: str
    kind: str
    """Type and bounds, e.g. `integer >= 1`."""
    default: str | None
    """In TOML; None where leaving the key out is the only way to say it."""
    required: bool
    meaning: str


@dataclass(frozen=True)
class Table:
    """One table of a campaign file; '' is the top."""

    name: str
    meaning: str
    keys: tuple[Key, ...]
    kind: str | None = None
    """Of a table that is one of several kinds, which one; the first is the default."""


def tables() -> tuple[Table, ...]:
    """All tables, in the order of the settings class."""
    definitions = CampaignSettings.model_json_schema()["$defs"]
    top, sections = [], []
    for name, field in CampaignSettings.model_fields.items():
        kind = field.annotation
        if kind is Engines:
            sections += _engine_tables(definitions)
        elif isinstance(kind, type) and issubclass(kind, Section):
            sections += _section_tables(name, kind, definitions)
        else:
            top.append(name)
    properties = CampaignSettings.model_json_schema()["properties"]
    keys = tuple(_keys(CampaignSettings, {name: properties[name] for name in top}))
    return (Table("", "The campaign.", keys), *sections)


def _section_tables(name: str, section: type[Section], definitions: Mapping[str, Any]) -> list[Table]:
    """A section's own table, and those of the sections in it."""
    inner = [_section_tables(f"{name}.{key}", kind, definitions) for key, kind in _inner(section).items()]
    return [_table(name, section, definitions), *itertools.chain.from_iterable(inner)]


def _inner(section: type[Section]) -> dict[str, type[Section]]:
    kinds = {key: field.annotation for key, field in section.model_fields.items()}
    return {key: kind for key, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, Section)}


def _table(name: str, section: type[Section], definitions: Mapping[str, Any], kind: str | None = None) -> Table:
    properties = definitions[section.__name__]["properties"]
    keys = tuple(_keys(section, {key: properties[key] for key in properties if key not in _inner(section)}))
    return Table(name, _first_line(section.__doc__), keys, kind)


def _engine_tables(definitions: Mapping[str, Any]) -> list[Table]:
    """One per role and kind of engine."""
    found = []
    for role in Engines.model_fields:
        for section in get_args(Engine):
            kind = section.model_fields["kind"].default
            if (role, kind) != ("student", "server"):
                found.append(_table(f"engines.{role}", section, definitions, kind))
    return found


def campaign_name(folder: str) -> str:
    """A valid campaign name like the name of a folder."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", folder).strip("-._")[:64]
    return name or "campaign"


def template(name: str) -> str:
    """A campaign file with every key, its meaning and its default: it runs as it is, on the embedded pair."""
    lines = [
        "# A campaign: rounds of scoring, aiming, synthesis, distillation and evaluation of one pair of models.",
        "# It runs as it is. Every value here is the default: a key that is left out keeps it.",
        "# Paths are relative to this file.",
    ]
    for table in tables():
        if table.kind not in (None, "transformers"):  # an engine is of one kind; the page of keys tells the others
            continue
        lines += ["", f"[{table.name}]  # {table.meaning}"] if table.name else [""]
        for key in table.keys:
            lines += textwrap.wrap(key.meaning, WIDTH, initial_indent="# ", subsequent_indent="# ")
            value = json.dumps(name) if key.required else key.default
            lines.append(f"# {key.name} =" if value is None else f"{key.name} = {value}")
    return "\n".join(lines) + "\n"


def reference() -> str:
    """The page of all keys, in Markdown."""
    lines = [
        "# The campaign file",
        "",
        "One TOML file describes a campaign. `deltaloop init DIR` writes one with every key, and",
        "`deltaloop run FILE --set section.key=value` overrides a key for one run. An unknown key, a wrong type or a",
        "missing path is refused before anything runs. Paths are relative to the file.",
        "",
        "The pair and the seed of a campaign never change; everything else may, and applies from the next round that",
        "starts. This page is written by `python -m scripts.make_config_docs` from `loop/config.py`.",
    ]
    for table in tables():
        lines += ["", _heading(table), "", table.meaning, ""]
        lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
        lines += [_row(key) for key in table.keys]
    return "\n".join(lines) + "\n"


def _heading(table: Table) -> str:
    if table.kind is not None:
        return f'## `[{table.name}]` with `kind = "{table.kind}"`'
    return f"## `[{table.name}]`" if table.name else "## Top of the file"


def _row(key: Key) -> str:
    default = "required" if key.required else "left out" if key.default is None else f"`{key.default}`"
    cells = (f"`{key.name}`", key.kind, default, key.meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _keys(model: type[Section], properties: Mapping[str, Mapping[str, Any]]) -> Iterator[Key]:
    for name, schema in properties.items():
        field = model.model_fields[name]
        required = field.is_required()
        default = None if required else _toml(field.default)
        yield Key(name, _kind(schema), default, required, " ".join((field.description or "").split()))


def _kind(schema: Mapping[str, Any]) -> str:
    """Type and bounds in words."""
    options = [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]
    (option,) = options
    if "enum" in option:
        return "one of " + ", ".join(f"`{value}`" for value in option["enum"])
    if "const" in option:
        return f"`{option['const']}`"
    words = {"array": "list of strings", "object": "table of integers"}.get(option["type"], option["type"])
    signs = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
    bounds = [f"{sign} {option[name]:g}" for name, sign in signs if name in option]
    return " ".join([words, ", ".join(bounds)]).strip()


def _toml(value: Any) -> str | None:
    """A default as TOML: strings, numbers, booleans and lists of strings are written as in JSON."""
    if value is None:
        return None
    return json.dumps(list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value)


def _first_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[0]
