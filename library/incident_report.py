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
  - With O(mail_to) it mails the report through a relay, once for each report - C(report.md) is the text, C(report.html) is attached where
    it has 5 MB at most. It is in the store before it goes, so that neither a rerun nor a run that was killed sends it twice. A relay that
    refuses it is a warning; the report is written all the same, and the next run of this module sends it.
  - Runs on the controller; reports a change only where a mail went, since nothing on a mail host changes.
version_added: 0.1.0
author:
  - Good Standing developers (@goodstanding)
requirements:
  - jinja2
  - jsonschema
  - SQLAlchemy
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
  mail_to:
    description: The address that the report is mailed to; nothing is mailed where not set, and in check mode. Needs O(state_url).
    type: str
  mail_when:
    description: Whether each run is mailed, or each whose status is another than C(clean).
    type: str
    choices: [findings, always]
    default: findings
  mail_redact:
    description: Whether the text and the page that are mailed are redacted as O(redact) does it.
    type: bool
    default: true
  state_url:
    description: The database of runs, an SQLAlchemy URL, for O(mail_to). A password in it is kept out of every message.
    type: str
  relay:
    description: The relay for O(mail_to); C(host) and C(sender) are needed.
    type: dict
    default: {}
    suboptions:
      host:
        description: Its name or address.
        type: str
      sender:
        description: The address that an answer goes to.
        type: str
      port:
        description: Its port, 587 where not set.
        type: int
      tls:
        description: How the connection is protected, V(starttls) where not set.
        type: str
        choices: [starttls, tls, none]
      user:
        description: The login there.
        type: str
      password:
        description: Its password; it is sent over TLS alone.
        type: str
      ca_file:
        description: The certificates that are trusted, where the system's are not.
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

- name: Write the report, and mail it where something was found
  incident_report:
    findings: "{{ goodstanding_document }}"
    directory: reports
    template: roles/report/templates/report.html.j2
    schema: roles/report/files/report.schema.json
    state_url: "{{ goodstanding_store }}"
    mail_to: postmaster@example.com
    relay: {host: mail.example.com, sender: reports@example.com, user: reports@example.com, password: "{{ vault_relay }}"}
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
mail:
  description: What became of the mail; null where none was due.
  type: dict
  returned: success
  contains:
    state:
      description: >-
        V(sent); V(earlier), this report was mailed before; V(not_sent), the relay did not take it; V(unknown), it may have gone, and is not
        sent again.
      type: str
    message_id:
      description: Its Message-ID, the same for the same report.
      type: str
    detail:
      description: What the relay said.
      type: str
"""

import time
import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ..module_utils.goodstanding.mail import relay

try:
    from ..module_utils.goodstanding.report import delivery, files, junit, metrics, redact, summary, verdict
    from ..module_utils.goodstanding.store import database

    IMPORT_ERROR = None
except ImportError:
    IMPORT_ERROR = traceback.format_exc()


def mail(p: dict[str, t.Any], place: str, now: float) -> dict[str, t.Any]:
    """Mail the report that lies in a place, and return what became of it."""
    of = relay.read(p["relay"], "report_relay")
    told = redact.redacted(p["findings"]) if p["mail_redact"] else p["findings"]
    page = files.as_page(told, p["template"])
    letter = delivery.write(p["findings"], told, summary.build(told), page, place, p["mail_to"], of, now)
    outcome = delivery.deliver(database.open_store(p["state_url"]), letter, p["findings"]["run"]["id"], of, now)
    return {"message_id": str(letter.message["Message-ID"]), **outcome._asdict()}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "findings": {"type": "dict", "required": True},
            "directory": {"type": "path", "required": True},
            "template": {"type": "path", "required": True},
            "schema": {"type": "path", "required": True},
            "redact": {"type": "bool", "default": True},
            "prometheus_file": {"type": "path"},
            "mail_to": {"type": "str"},
            "mail_when": {"type": "str", "choices": ["findings", "always"], "default": "findings"},
            "mail_redact": {"type": "bool", "default": True},
            "state_url": {"type": "str", "no_log": True},
            "relay": {"type": "dict", "default": {}, "options": relay.OPTIONS},
        },
        required_by={"mail_to": ["state_url"]},
        supports_check_mode=True,
    )
    if IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("jinja2, jsonschema and SQLAlchemy"), exception=IMPORT_ERROR)
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
    page = f"{folder}/report.html"
    mailed: dict[str, t.Any] = {}
    if p["mail_to"] and not module.check_mode and delivery.is_due(p["findings"], p["mail_when"]):
        try:
            mailed = mail(p, page, time.time())
        except (relay.MailError, database.StoreError) as exc:
            module.fail_json(msg=f"the report is written, its mail is not done: {exc}", page=page, status=run["status"])
        told = f"({mailed['message_id']}): {mailed['detail']}"
        if mailed["state"] == relay.NOT_SENT:
            module.warn(
                f"the report is written, and was NOT mailed {told}; playbooks/report.yml -e findings={folder}/findings.json tries again"
            )
        elif mailed["state"] == relay.UNKNOWN:
            module.warn(f"it is not known whether the report was mailed {told}; it is not sent again: look for it in the relay's log")
    module.exit_json(changed=mailed.get("state") == relay.SENT, page=page, status=run["status"], mail=mailed or None)


if __name__ == "__main__":
    main()
