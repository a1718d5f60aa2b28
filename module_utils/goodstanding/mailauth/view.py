# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a receiver sees of a fleet: one view of each sending address, one of each domain, and the checklist. Pure functions over answers."""

from __future__ import annotations

import ipaddress
import typing as t
from functools import partial

from . import dkim, dmarc, lint, receivers, spf, sts
from .answers import Answers, Reply, gather, need
from .evaluate import Result, evaluate
from .fetch import Fetched
from .finding import ERROR, Finding, shown
from .receivers import DOES_NOT, HOLDS, UNKNOWN

#: Messages name this many addresses at most.
_SHOWN = 5


class Sender(t.NamedTuple):
    """A sending address: what it says as HELO, and the host it belongs to."""

    address: lint.Address
    host: str
    helo: str | None


class Selector(t.NamedTuple):
    """A selector in use. domain: d=; record: of the key that the hosts hold, where that is known."""

    domain: str
    selector: str
    subdomains: bool = False
    record: str | None = None


class Domain(t.NamedTuple):
    """A domain in From:. envelope: the domains of its envelope senders; hosts: those that send for it (empty: all); random: a selector
    that nobody publishes; gaps: (state, why) of each host that does not sign its mail, or of which that is not known."""

    domain: str
    envelope: tuple[str, ...]
    hosts: tuple[str, ...]
    selectors: tuple[Selector, ...]
    mta_sts: bool
    tls_rpt: bool
    random: str
    gaps: tuple[tuple[str, str], ...] = ()


class View(t.NamedTuple):
    """data: what is seen, for the result; findings: of the linter; checklist: rows of receivers.row()."""

    data: dict[str, t.Any]
    findings: list[Finding]
    checklist: list[dict[str, t.Any]]


def _names(items: t.Sequence[t.Any]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(str(item) for item in items[:_SHOWN]) + more


def _errors(findings: t.Iterable[Finding], checks: t.Container[str] | None = None) -> list[Finding]:
    return [each for each in findings if each.severity == ERROR and (checks is None or each.check in checks)]


def _judged(rule: str, subject: str, findings: list[Finding]) -> dict[str, t.Any]:
    """Return a row that holds where nothing was found."""
    if not findings:
        return receivers.row(rule, subject, HOLDS)
    why, repair = "; ".join(each.what for each in findings[:3]), " ".join(dict.fromkeys(each.repair for each in findings[:3]))
    return receivers.row(rule, subject, DOES_NOT, why, repair)


def _unknown(rule: str, subject: str, why: str) -> dict[str, t.Any]:
    return receivers.row(rule, subject, UNKNOWN, why, "Ask again; see whether the name servers of that name answer.")


def address_view(sender: Sender, answers: Answers) -> View:
    """Return what a receiver sees of an address. Unanswered where questions are still open."""
    text, kind = str(sender.address), "A" if sender.address.version == 4 else "AAAA"
    (reverse,) = need(answers, (sender.address.reverse_pointer, "PTR"))
    names = reverse.values[:10]
    helo = sender.helo.lower().rstrip(".") if sender.helo else None
    wanted = [(name, kind) for name in names] + ([(helo, kind), (helo, "TXT")] if helo else [])
    need(answers, *wanted)
    back = {name: answers[(name, kind)] for name in names}
    data: dict[str, t.Any] = {
        "address": text,
        "host": sender.host,
        "reverse_names": list(reverse.values),
        "forward": None,
        "helo": helo,
        "helo_addresses": None,
        "helo_spf": None,
    }
    findings: list[Finding] = []
    checklist = []
    failed = [reply.why for reply in (reverse, *back.values()) if not reply.known]
    good = [name for name in names if text in back[name].values]
    if failed and not good:
        checklist += [_unknown(rule, text, failed[0]) for rule in ("reverse_name", "reverse_own")]
    else:
        findings += lint.lint_reverse(sender.address, names, {name: reply.values for name, reply in back.items()}, helo)
        data["forward"] = bool(good)
        lost = [each for each in findings if each.check in ("ptr_missing", "ptr_forward", "ptr_name")]
        checklist.append(_judged("reverse_name", text, [] if good else lost))
        checklist.append(_judged("reverse_own", text, lost if not names else [each for each in findings if each.check == "ptr_generic"]))
    if helo is None:
        advice = "Name it in the inventory (helo); on the host: postconf -x smtp_helo_name"
        checklist += [receivers.row(rule, text, UNKNOWN, "the HELO name is not given", advice) for rule in ("helo", "helo_spf")]
    else:
        checklist += _helo(sender, helo, answers[(helo, kind)], answers, data, findings)
    return View(data, findings, checklist)


def _helo(
    sender: Sender, helo: str, forward: Reply, answers: Answers, data: dict[str, t.Any], findings: list[Finding]
) -> list[dict[str, t.Any]]:
    text = str(sender.address)
    result = evaluate(answers, text, helo, helo)
    data["helo_spf"] = result._asdict()
    if forward.known:
        data["helo_addresses"] = list(forward.values)
        faults = lint.lint_helo(sender.address, helo, forward.values)
        findings += faults
        rows = [_judged("helo", text, faults)]
    else:
        rows = [_unknown("helo", text, forward.why)]
    own = answers[(helo, "TXT")]
    if own.known:
        findings += [each for each in spf.lint(helo, own.values, required=False) if each.check != "spf_open_end"]
    if result.result in ("unknown", "temperror"):
        rows.append(_unknown("helo_spf", text, result.why))
    elif result.result == "pass":
        rows.append(receivers.row("helo_spf", text, HOLDS))
    else:
        rows.append(
            receivers.row(
                "helo_spf",
                text,
                DOES_NOT,
                f"SPF says {result.result} for HELO {helo}{_because(result)}",
                f'Publish the TXT record "v=spf1 a -all" at {helo}.',
            )
        )
    return rows


def _because(result: Result) -> str:
    return f" ({result.why or result.term})" if result.why or result.term else ""


def domain_view(domain: Domain, senders: t.Sequence[Sender], answers: Answers, policy: Fetched | None) -> View:
    """Return what a receiver sees of a domain. policy: its MTA-STS policy, None where it was not fetched."""
    mine = [sender for sender in senders if not domain.hosts or sender.host in domain.hosts]
    parts = gather(
        [
            partial(_spf, domain, mine, answers),
            partial(_dkim, domain, answers),
            partial(_dmarc, domain, answers),
            partial(_transport, domain, answers, policy),
            partial(_receives, domain, answers),
        ]
    )
    data: dict[str, t.Any] = {"domain": domain.domain}
    findings: list[Finding] = []
    checklist: list[dict[str, t.Any]] = []
    for part in parts:
        data.update(part.data)
        findings += part.findings
        checklist += part.checklist
    checklist += _together(domain, data, answers)
    return View(data, findings, checklist)


def _spf(domain: Domain, senders: t.Sequence[Sender], answers: Answers) -> View:
    pairs = [(envelope, sender) for envelope in domain.envelope for sender in senders]
    tasks = [partial(evaluate, answers, str(sender.address), envelope, sender.helo or envelope) for envelope, sender in pairs]
    linted = [partial(spf_record, name, answers) for name in domain.envelope]
    found: list[t.Any] = gather([partial(gather, tasks), partial(gather, linted)])
    results, budgets = zip(pairs, found[0]), found[1]
    rows = [
        {"envelope": envelope, "address": str(sender.address), "host": sender.host, **result._asdict()}
        for (envelope, sender), result in results
    ]
    findings = [finding for each in budgets for finding in each.findings]
    bad = [row for row in rows if row["result"] not in ("pass", "unknown", "temperror")]
    open_ = [row for row in rows if row["result"] in ("unknown", "temperror")]
    if bad:
        worst = bad[0]
        what = f"SPF says {worst['result']} for {_names([row['address'] for row in bad])} with envelope senders of {worst['envelope']}"
        what += f" ({worst['why'] or worst['term']})" if worst["why"] or worst["term"] else ""
        state = receivers.row("spf", domain.domain, DOES_NOT, what, _spf_repair(worst))
    elif open_ or not rows:
        state = _unknown("spf", domain.domain, open_[0]["why"] if open_ else "no sending address was looked at")
    else:
        state = receivers.row("spf", domain.domain, HOLDS)
    return View({"spf": rows, "spf_budget": [each.data for each in budgets]}, findings, [state])


def _spf_repair(row: dict[str, t.Any]) -> str:
    if row["result"] == "permerror":
        return f"Repair the SPF record of {row['envelope']}: {row['why']}."
    term = spf.address_term(ipaddress.ip_address(row["address"]))
    if row["result"] == "none":
        return f'Publish a TXT record such as "v=spf1 {term} ~all" at {row["envelope"]}.'
    return f"Put {term} into the SPF record of {row['envelope']} (playbooks/mail_dns.yml does it and leaves the rest)."


def spf_record(name: str, answers: Answers) -> View:
    """Return what is wrong with the SPF record of a name, and what it costs; for that all that it includes is asked for."""
    (reply,) = need(answers, (name, "TXT"))
    data: dict[str, t.Any] = {"envelope": name, "record": None, "lookups": None, "voids": None, "unknown": []}
    if not reply.known:
        return View({**data, "unknown": [f"{name} TXT: {reply.why}"]}, [], [])
    own = spf.records(reply.values)
    findings = spf.lint(name, reply.values)
    if len(own) == 1:
        budget = spf.count(name, own[0], answers)
        findings += spf.over_budget(name, budget)
        data.update(record=own[0], lookups=budget.lookups, voids=budget.voids, unknown=list(budget.unknown))
    return View(data, findings, [])


def _dkim(domain: Domain, answers: Answers) -> View:
    names = [(dkim.selector_name(each.domain, each.selector), each) for each in domain.selectors]
    signing = sorted({each.domain for each in domain.selectors})
    random = [dkim.selector_name(name, domain.random) for name in signing]
    need(answers, *((name, "TXT") for name, _ in names), *((name, "TXT") for name in random))
    findings: list[Finding] = []
    rows = []
    states, strong = [], []
    for name, each in names:
        reply = answers[(name, "TXT")]
        row: dict[str, t.Any] = {
            "name": name,
            "domain": each.domain,
            "selector": each.selector,
            "kind": None,
            "bits": None,
            "state": UNKNOWN,
            "why": reply.why,
            "cname": reply.target,
        }
        rows.append(row)
        if not reply.known:
            states.append(UNKNOWN)
            strong.append(UNKNOWN)
            continue
        faults = dkim.lint(name, reply.values, signs_subdomains=each.subdomains, expected=each.record)
        findings += faults
        if len(reply.values) == 1:
            key = dkim.read_key(reply.values[0])
            row.update(kind=key.kind, bits=key.bits)
            strong.append(DOES_NOT if key.kind == "rsa" and (key.bits or 0) < 2048 else HOLDS)
        else:
            strong.append(UNKNOWN)
        row.update(state=DOES_NOT if _errors(faults) else HOLDS, why="; ".join(fault.what for fault in _errors(faults)[:3]))
        states.append(row["state"])
    for name in random:
        if answers[(name, "TXT")].known:
            findings += dkim.lint_wildcard(name, answers[(name, "TXT")].values)
    # Ed25519 alone is no signature for the large receivers.
    verified = [row for row in rows if row["kind"] == "rsa"]
    gap = receivers.all_of(state for state, _ in domain.gaps)
    why = "; ".join(why for state, why in domain.gaps if state == gap)
    if not names:
        advice = "Let each host sign (role dkim), or name the keys in use in mail_dns_dkim."
        checklist = [
            receivers.row("dkim", domain.domain, gap, why or "no selector is given", advice),
            receivers.row("dkim_2048", domain.domain, UNKNOWN, "no selector is given", advice),
        ]
        return View({"dkim": []}, findings, checklist)
    lost = [each for each in findings if each.severity == ERROR]
    state = receivers.all_of(states)
    if state == DOES_NOT:
        checklist = [_judged("dkim", domain.domain, lost)]
    elif gap == DOES_NOT or (domain.gaps and state == HOLDS):
        checklist = [receivers.row("dkim", domain.domain, gap, why, "Let each host that sends for the domain sign its mail (role dkim).")]
    elif state == UNKNOWN:
        checklist = [_unknown("dkim", domain.domain, next(row["why"] for row in rows if row["state"] == UNKNOWN))]
    elif not verified:
        checklist = [
            receivers.row(
                "dkim", domain.domain, DOES_NOT, "all keys are Ed25519, which large receivers do not verify", "Sign with an RSA key, too."
            )
        ]
    else:
        checklist = [receivers.row("dkim", domain.domain, HOLDS)]
    weak = [row["name"] for row in rows if row["kind"] == "rsa" and (row["bits"] or 0) < 2048]
    checklist.append(
        receivers.row(
            "dkim_2048",
            domain.domain,
            receivers.all_of(strong),
            _names(weak) or ("" if receivers.all_of(strong) == HOLDS else "not every key could be read"),
            "Rotate to a key of 2048 bits (playbooks/rotate_dkim.yml).",
        )
    )
    return View({"dkim": rows}, findings, checklist)


def _dmarc(domain: Domain, answers: Answers) -> View:
    policy = dmarc.policy(domain.domain, answers)
    own = dmarc.dmarc_name(domain.domain)
    reply = answers[(own, "TXT")]
    findings = dmarc.lint(own, reply.values, required=policy.at is None and not policy.unknown) if reply.known else []
    if policy.at is not None and policy.at != domain.domain:
        findings += dmarc.lint(dmarc.dmarc_name(policy.at), answers[(dmarc.dmarc_name(policy.at), "TXT")].values)
    data = policy._asdict()
    data["unknown"] = list(policy.unknown)
    reports: dict[str, bool | None] = {}
    if policy.text is not None and policy.at is not None:
        tags = dmarc.parse_tags(policy.text)
        others = sorted({*dmarc.outside(policy.at, tags.get("rua")), *dmarc.outside(policy.at, tags.get("ruf"))})[:10]
        names = [dmarc.report_name(policy.at, other) for other in others]
        for other, name, answer in zip(others, names, need(answers, *((name, "TXT") for name in names))):
            faults = lint.lint_report(name, answer.values) if answer.known else []
            findings += faults
            reports[other] = not faults if answer.known else None
    data["reports"] = reports
    if policy.organizational != policy.by_suffix and policy.at is not None:
        findings.append(
            Finding(
                "note",
                "dmarc_organizational",
                own,
                f"the organizational domain is {policy.organizational} by RFC 9989 and "
                f"{policy.by_suffix} by RFC 7489: alignment differs between receivers",
                f"Publish a DMARC record at {policy.by_suffix}.",
                "RFC 9989 section 4.10.2",
            )
        )
    broken = _errors(findings, ("dmarc_several", "dmarc_missing", "dmarc_lookalike", "dmarc_no_policy", "dmarc_value"))
    # A record further up applies only if it is certain that the domain has none of its own.
    certain = policy.at == domain.domain or reply.known
    if policy.policy is not None and not broken and certain:
        row = receivers.row("dmarc", domain.domain, HOLDS)
    elif policy.unknown and not broken:
        row = _unknown("dmarc", domain.domain, policy.unknown[0])
    else:
        row = _judged(
            "dmarc",
            domain.domain,
            broken
            or [
                Finding(
                    ERROR, "dmarc_policy", own, "no policy applies", "Write v=DMARC1; p=none; rua=mailto:ADDRESS", "RFC 9989 section 4.10"
                )
            ],
        )
    return View({"dmarc": data}, findings, [row])


def _receives(domain: Domain, answers: Answers) -> View:
    mx, a, aaaa = need(answers, (domain.domain, "MX"), (domain.domain, "A"), (domain.domain, "AAAA"))
    data = {"mx": list(mx.values)}
    hosts = [value for value in mx.values if value.partition(" ")[2] not in ("", ".")]
    if hosts or (mx.known and not mx.values and (a.values or aaaa.values)):
        return View(data, [], [receivers.row("author_receives", domain.domain, HOLDS)])
    failed = [reply.why for reply in (mx, a, aaaa) if not reply.known]
    if failed and not mx.values:
        return View(data, [], [_unknown("author_receives", domain.domain, failed[0])])
    why = "its MX record says that it takes no mail (RFC 7505)" if mx.values else "it has no MX and no address record"
    return View(data, [], [receivers.row("author_receives", domain.domain, DOES_NOT, why, f"Publish an MX record of {domain.domain}.")])


def _transport(domain: Domain, answers: Answers, fetched: Fetched | None) -> View:
    name, report = f"_mta-sts.{domain.domain}", f"_smtp._tls.{domain.domain}"
    record, reporting, mx = need(answers, (name, "TXT"), (report, "TXT"), (domain.domain, "MX"))
    findings: list[Finding] = []
    data: dict[str, t.Any] = {
        "mta_sts": {"state": UNKNOWN, "record": None, "mode": None, "hosts": [], "max_age": None, "why": record.why},
        "tls_rpt": {"state": UNKNOWN, "record": None, "why": reporting.why},
    }
    seen = data["mta_sts"]
    if record.known:
        findings += sts.lint(name, record.values, required=domain.mta_sts)
        own = [text for text in record.values if sts.is_record(text)]
        seen["record"] = own[0] if len(own) == 1 else None
        if not own and not domain.mta_sts:
            seen.update(state="not_used")
        elif _errors(findings):
            seen.update(state=DOES_NOT, why=_errors(findings)[0].what)
        elif fetched is not None:
            findings += _policy(domain, fetched, mx, seen)
    if reporting.known:
        faults = sts.lint_reporting(report, reporting.values, required=domain.tls_rpt)
        findings += faults
        own = [text for text in reporting.values if sts.is_reporting(text)]
        state = DOES_NOT if _errors(faults) else HOLDS if own else "not_used"
        data["tls_rpt"].update(state=state, record=own[0] if len(own) == 1 else None, why=faults[0].what if faults else "")
    return View(data, findings, [])


def _policy(domain: Domain, fetched: Fetched, mx: Reply, seen: dict[str, t.Any]) -> list[Finding]:
    """Judge a policy that was fetched; say in seen what it is."""
    where = f"https://{sts.host(domain.domain)}/.well-known/mta-sts.txt"
    if fetched.state == "unknown":
        seen.update(state=UNKNOWN, why=fetched.why)
        return []
    if fetched.state == "wrong":
        seen.update(state=DOES_NOT, why=fetched.why)
        return [
            Finding(
                ERROR,
                "sts_policy_fetch",
                where,
                fetched.why,
                f"Serve the policy there by HTTPS with a certificate for {sts.host(domain.domain)}.",
                "RFC 8461 section 3.3",
            )
        ]
    exchangers = [value.partition(" ")[2] for value in mx.values] if mx.known else None
    findings = sts.lint_policy(domain.domain, fetched.text, exchangers)
    if fetched.content_type != "text/plain":
        findings.append(
            Finding(
                "warning",
                "sts_policy_type",
                where,
                f"it is sent as {shown(fetched.content_type)}",
                "Send it as text/plain.",
                "RFC 8461 section 3.2",
            )
        )
    policy = sts.read_policy(fetched.text)
    seen.update(
        state=DOES_NOT if _errors(findings) else HOLDS,
        mode=policy.mode,
        hosts=list(policy.hosts),
        max_age=policy.max_age,
        why="; ".join(each.what for each in _errors(findings)[:3]),
    )
    return findings


def _together(domain: Domain, data: dict[str, t.Any], answers: Answers) -> list[dict[str, t.Any]]:
    """Return the rows for which SPF, DKIM and DMARC are seen together; note in data what is aligned."""
    policy = data["dmarc"]
    pairs = [("aspf", row["envelope"], row) for row in data["spf"]] + [("adkim", row["domain"], row) for row in data["dkim"]]
    # By RFC 9989 and by RFC 7489: receivers of either kind are there.
    aligned = gather([partial(dmarc.aligned, domain.domain, other, policy[mode], answers) for mode, other, _ in pairs])
    for (_, _, row), both in zip(pairs, aligned):
        row["aligned"] = False if False in both else None if None in both else True
    passed = {"pass": HOLDS, "unknown": UNKNOWN, "temperror": UNKNOWN}
    close = {True: HOLDS, False: DOES_NOT, None: UNKNOWN}
    by_spf = [(passed.get(row["result"], DOES_NOT), close[row["aligned"]]) for row in data["spf"]]
    by_dkim = [(row["state"], close[row["aligned"]]) for row in data["dkim"] if row["kind"] in ("rsa", None)]
    envelope = receivers.all_of(state for state, _ in by_spf)
    signed = receivers.all_of([*(state for state, _ in by_dkim), *(state for state, _ in domain.gaps)])
    either = receivers.any_of([envelope, signed])
    spf_aligned = receivers.all_of(state for pair in by_spf for state in pair)
    dkim_aligned = receivers.any_of(receivers.all_of(pair) for pair in by_dkim) if by_dkim else UNKNOWN
    dkim_aligned = receivers.all_of([dkim_aligned, *(state for state, _ in domain.gaps)])
    whole = receivers.any_of([spf_aligned, dkim_aligned])
    rows = [
        receivers.row(
            "spf_or_dkim", domain.domain, either, f"SPF: {envelope}, DKIM: {signed}", "Repair SPF and DKIM as the rows for them say."
        )
    ]
    why = f"SPF and alignment with it: {spf_aligned}, DKIM and alignment with it: {dkim_aligned}"
    rows.append(
        receivers.row(
            "alignment",
            domain.domain,
            whole,
            why,
            f"Sign with d={domain.domain}, and use envelope senders of {domain.domain} or of a name below it.",
        )
    )
    return rows


def questions(domains: t.Sequence[Domain]) -> list[tuple[str, str]]:
    """Return what is asked of every domain in any case, so that the first round asks it all at once."""
    found: list[tuple[str, str]] = []
    for each in domains:
        found += [(name, "TXT") for name in (*each.envelope, f"_mta-sts.{each.domain}", f"_smtp._tls.{each.domain}")]
        found += [(dmarc.dmarc_name(name), "TXT") for name in dmarc.walk_names(each.domain)]
        found += [(dkim.selector_name(key.domain, key.selector), "TXT") for key in each.selectors]
        found += [(each.domain, "MX"), (each.domain, "A"), (each.domain, "AAAA")]
    return found
