#!/usr/bin/python
# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: incident_report
short_description: Write the report of a run
description:
  - Writes the report into the folder of the run, and points the link C(latest) to it (not in check mode).
  - C(report.json) and C(report.html) hold all; C(report.md) is a summary in Markdown, C(report.xml) has the checks as JUnit, C(report.prom)
    the figures for Prometheus.
  - Runs on the controller; never reports a change, since nothing on a mail host changes.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
requirements:
  - jinja2
  - jsonschema
options:
  findings:
    description: The finished document, from M(run_findings).
    type: dict
    required: true
  directory:
    description: The folder of reports.
    type: path
    required: true
  template:
    description: The Jinja template of the page.
    type: path
    required: true
  schema:
    description: The JSON Schema of the document.
    type: path
    required: true
  redact:
    description: >-
      Whether C(report.md) and C(report.xml), which go to the log of a CI job or to a chat, name accounts shortened, and no mail address of
      anybody else.
    type: bool
    default: true
  prometheus_file:
    description: >-
      Where C(report.prom) is written to as well, readable by all, such as in the folder of node_exporter's textfile collector; not in check
      mode, and not by a run that only lets an account in again, which looked at nothing.
    type: path
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: Write the report
  incident_report:
    findings: "{{ goodstanding_document }}"
    directory: reports
    template: roles/report/templates/report.html.j2
    schema: roles/report/files/report.schema.json
"""

RETURN = r"""
page:
  description: The page for a person.
  type: str
  returned: success
status:
  description: The status of the run.
  type: str
  returned: success
"""

import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from ..module_utils.goodstanding.report import files, junit, metrics, redact, summary, verdict

    IMPORT_ERROR = None
except ImportError:
    IMPORT_ERROR = traceback.format_exc()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "findings": {"type": "dict", "required": True},
            "directory": {"type": "path", "required": True},
            "template": {"type": "path", "required": True},
            "schema": {"type": "path", "required": True},
            "redact": {"type": "bool", "default": True},
            "prometheus_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    if IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("jinja2 and jsonschema"), exception=IMPORT_ERROR)
    p = module.params
    try:
        files.validate(p["findings"], p["schema"])
        run = p["findings"]["run"]
        folder = f"{p['directory']}/{run['id']}"
        files.write(f"{folder}/report.json", files.as_json(p["findings"]))
        files.write(f"{folder}/report.html", files.as_page(p["findings"], p["template"]))
        told = redact.redacted(p["findings"]) if p["redact"] else p["findings"]
        files.write(f"{folder}/report.md", summary.build(told))
        files.write(f"{folder}/report.xml", junit.build(told))
        files.write(f"{folder}/report.prom", metrics.build(p["findings"]))
        if not module.check_mode:
            if p["prometheus_file"] and verdict.looked(p["findings"]):
                files.write(p["prometheus_file"], metrics.build(p["findings"]), 0o644)
            files.point_latest(p["directory"], run["id"])
    except (files.ReportError, OSError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, page=f"{folder}/report.html", status=run["status"])


if __name__ == "__main__":
    main()
