# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of DNS lists: loaded and validated in one place."""

from __future__ import annotations

import datetime
import json
import typing as t
from pathlib import Path

import jsonschema
import yaml


class CatalogueError(Exception):
    """The catalogue cannot be used; the message names the file and the place in it."""


def load(path: str, names: list[str] | None = None) -> list[dict[str, t.Any]]:
    """Return the lists of a catalogue file; names (zones) takes only those. The schema lies beside the file, as *.schema.json."""
    file = Path(path)
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
        schema = json.loads(file.with_suffix(".schema.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as exc:
        raise CatalogueError(f"the catalogue {path} cannot be read: {exc}") from exc
    for row in data.get("lists", []) if isinstance(data, dict) else []:
        if isinstance(row, dict) and isinstance(row.get("read"), datetime.date):
            row["read"] = row["read"].isoformat()  # YAML makes a date of it, JSON knows none
    fault = next(iter(sorted(jsonschema.Draft202012Validator(schema).iter_errors(data), key=str)), None)
    if fault is not None:
        raise CatalogueError(
            f"the catalogue {path} is wrong at {'/'.join(map(str, fault.absolute_path)) or 'its top'}: {fault.message[:300]}"
        )
    lists: list[dict[str, t.Any]] = data["lists"]
    zones = [row["zone"] for row in lists]
    twice = sorted({zone for zone in zones if zones.count(zone) > 1})
    if twice:
        raise CatalogueError(f"the catalogue {path} names {', '.join(twice)} twice")
    unknown = sorted(set(names or []) - set(zones))
    if unknown:
        raise CatalogueError(f"the catalogue {path} has no list {', '.join(unknown)}; it has {', '.join(sorted(zones))}")
    return [row for row in lists if not names or row["zone"] in names]
