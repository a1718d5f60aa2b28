# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of DNS lists with the layers of an inventory: loaded and validated in one place, on the controller."""

from __future__ import annotations

import copy
import difflib
import json
import typing as t
from pathlib import Path

import jsonschema
import yaml

Row = dict[str, t.Any]

# RFC 5782 section 5: what a list of this family must contain, and what it must not.
_POINTS = {
    "ipv4": {"positive": "127.0.0.2", "negative": "127.0.0.1"},
    "ipv6": {"positive": "::ffff:127.0.0.2", "negative": "::ffff:127.0.0.1"},
    "domain": {"positive": "test", "negative": "invalid"},
}


class CatalogueError(Exception):
    """The catalogue cannot be used; the message names the file, the line and the field."""


class Catalogue(t.NamedTuple):
    """lists: rows of blocklists.yml; retired: zone (perhaps with *. before it) to row of retired_lists.yml; schema: of one list."""

    path: str
    lists: list[Row]
    retired: dict[str, Row]
    schema: dict[str, t.Any]


def load(path: str) -> Catalogue:
    """Return a catalogue; beside the file lie its schema (*.schema.json), retired_lists.yml and the schema of that."""
    file = Path(path)
    data, schema = read(file)
    zones = [row["zone"] for row in data["lists"]]
    twice = sorted({zone for zone in zones if zones.count(zone) > 1})
    if twice:
        raise CatalogueError(f"the catalogue {path} names {', '.join(twice)} twice")
    dead, _ = read(file.with_name("retired_lists.yml"))
    retired = {zone: row for row in dead["lists"] for zone in row["zones"]}
    for row in data["lists"]:
        reason = retirement(row["zone"], retired)
        if reason:
            raise CatalogueError(f"the catalogue {path} lists {row['zone']}, which is retired: {reason}")
    return Catalogue(path, data["lists"], retired, {"$defs": schema["$defs"], "$ref": "#/$defs/list"})


def read(file: Path) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """Return a YAML file of the catalogue that has the shape of its schema, and the schema."""
    try:
        text = file.read_text(encoding="utf-8")
        data, nodes = yaml.safe_load(text), yaml.compose(text, Loader=yaml.SafeLoader)
        schema = json.loads(file.with_suffix(".schema.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as exc:
        raise CatalogueError(f"the catalogue {file} cannot be read: {exc}") from exc
    fault = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(data))
    if fault is not None:
        raise CatalogueError(f"the catalogue {file}, line {_line(nodes, fault.absolute_path)}: {_said(fault)}")
    return data, schema


def _said(fault: t.Any) -> str:
    return f"{'/'.join(map(str, fault.absolute_path)) or 'the top'}: {fault.message[:300]}"


def _line(node: yaml.Node | None, path: t.Iterable[str | int]) -> int:
    """Return the line of the deepest part of a path that the file itself holds."""
    for step in path:
        child = _child(node, step)
        if child is None:
            break
        node = child
    return node.start_mark.line + 1 if node is not None else 1


def _child(node: yaml.Node | None, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
        item: yaml.Node = node.value[step]
        return item
    if isinstance(node, yaml.MappingNode):
        own: dict[t.Any, yaml.Node] = {key.value: value for key, value in node.value}
        return own.get(step) or _child(own.get("<<"), step)
    return None


def retirement(zone: str, retired: dict[str, Row]) -> str | None:
    """Return since when and why a zone must not be asked any more, or None."""
    parts = zone.split(".")
    for candidate in [zone, *("*." + ".".join(parts[at:]) for at in range(1, len(parts)))]:
        if candidate in retired:
            row = retired[candidate]
            return f"{row['reason']} (since {row['since']}, {row['mode'].replace('_', ' ')}; {row['source']})"
    return None


def choose(
    catalogue: Catalogue, layers: t.Iterable[tuple[str, list[Row]]], wanted: list[str], keys: t.Iterable[str]
) -> tuple[list[Row], list[Row]]:
    """Return (the lists to ask, with everything filled in; those that are skipped, each with why).

    layers: (name of the variable, rows) from the most general to the most special. A row names its zone; its other fields lie over
    the list's own, replace: true takes the row alone, and a zone that the catalogue does not have is a new list.
    wanted: zones to ask and no other; all that are enabled where empty. keys: names of the keys that are given.
    """
    merged = {row["zone"]: row for row in copy.deepcopy(catalogue.lists)}
    own = set()
    for variable, rows in layers:
        for number, row in enumerate(rows):
            where = f"{variable}[{number}]"
            zone = _zone(where, row, catalogue)
            own.add(zone)
            over = {name: value for name, value in row.items() if name != "replace"}
            merged[zone] = over if row.get("replace") else {**merged.get(zone, {}), **over}
            _validate(where, merged[zone], catalogue, known=zone in {each["zone"] for each in catalogue.lists})
    wanted = [zone.strip().rstrip(".").lower() for zone in wanted]
    rows = _wanted(catalogue, merged, wanted, set(keys))
    return _skip(rows, set(wanted), set(keys), own)


def _zone(where: str, row: t.Any, catalogue: Catalogue) -> str:
    if not isinstance(row, dict) or not isinstance(row.get("zone"), str):
        raise CatalogueError(f"{where} has no zone: each row is a mapping that names the zone of its list")
    zone: str = row["zone"].strip().rstrip(".").lower()
    row["zone"] = zone
    keyed = next((each for each in catalogue.lists if each.get("key") and zone.endswith("." + each["zone"])), None)
    if keyed:
        # The zone itself is not shown: what stands before it is the key.
        raise CatalogueError(f"{where} names a zone below {keyed['zone']}: give the key in reputation_keys.{keyed['key']} instead")
    reason = retirement(zone, catalogue.retired)
    if reason:
        raise CatalogueError(f"{where} names {zone}, which is retired: {reason}. Take it out of the inventory")
    return zone


def _validate(where: str, row: Row, catalogue: Catalogue, known: bool) -> None:
    if row.get("authoritative") is True and row.get("access", "free") != "free":
        why = "wants to know who asks (access is not free), so only the resolver asks it"
        raise CatalogueError(f"{where} says authoritative: true, and {row['zone']} {why}: take authoritative out")
    fault = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(catalogue.schema).iter_errors(row))
    if fault is not None:
        hint = "" if known else f" ({row['zone']} is new: it needs every required field{_near(row['zone'], catalogue)})"
        raise CatalogueError(f"{where}, {_said(fault)}{hint}")


def _near(zone: str, catalogue: Catalogue) -> str:
    near = difflib.get_close_matches(zone, [row["zone"] for row in catalogue.lists], 1)
    return f"; did you mean {near[0]}?" if near else ""


def _wanted(catalogue: Catalogue, merged: dict[str, Row], wanted: list[str], keys: set[str]) -> list[Row]:
    for zone in wanted:
        reason = retirement(zone, catalogue.retired)
        if reason:
            raise CatalogueError(f"reputation_lists names {zone}, which is retired: {reason}. Take it out of the inventory")
        whole = next((row["zone"] for row in merged.values() if zone in row.get("covers", [])), None)
        if whole and zone not in merged:
            raise CatalogueError(f"reputation_lists names {zone}, a part of {whole}: name that instead")
        if zone not in merged:
            raise CatalogueError(f"{catalogue.path} has no list {zone}{_near(zone, catalogue)}; reputation_overrides adds one")
        key = merged[zone].get("key")
        if key and key not in keys:
            operator = merged[zone].get("access_url", "see its operator")
            raise CatalogueError(f"{zone} is asked with a key: give reputation_keys.{key} ({operator})")
    return [merged[zone] for zone in wanted] if wanted else list(merged.values())


def _skip(rows: list[Row], wanted: set[str], keys: set[str], own: set[str]) -> tuple[list[Row], list[Row]]:
    asked: list[Row] = []
    skipped: list[Row] = []
    active = [row for row in rows if row.get("key") is None or row["key"] in keys]
    replaced = {zone: row["zone"] for row in active for zone in row.get("replaces", []) if row.get("enabled", True)}
    for row in rows:
        why = None
        if row["zone"] not in wanted:
            if not row.get("enabled", True):
                why = "it is switched off by reputation_overrides" if row["zone"] in own else "it is off by default"
            elif row.get("key") and row["key"] not in keys:
                why = f"no key: reputation_keys.{row['key']} is not given ({row.get('access_url', 'see its operator')})"
            elif row["access"] == "contract" and row["zone"] not in own:
                why = "it answers its customers only"
        if row["zone"] in replaced:
            why = f"{replaced[row['zone']]} is asked instead"
        if why:
            skipped.append({"list": row["name"], "zone": row["zone"], "why": why})
        else:
            asked.append(complete(row))
    return asked, skipped


def complete(row: Row) -> Row:
    """Return a list's row with its test points filled in (RFC 5782 section 5), and without what only a reader of the file needs."""
    row = {name: value for name, value in row.items() if name not in ("sources", "evidence", "enabled", "covers", "replaces")}
    row["test"] = {family: {**_POINTS[family], **row.get("test", {}).get(family, {})} for family in row["answers_for"]}
    return row
