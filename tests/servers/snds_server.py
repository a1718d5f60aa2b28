# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Microsoft, as SNDS needs it: sign-in with PKCE and refresh tokens that work once, the REST interface, the automated-access links.

On loopback, over TLS with a certificate of its own; clients find it by REQUESTS_CA_BUNDLE. A refresh token that is used twice revokes
everything, as an authorization server that detects reuse does (RFC 9700 section 4.14.2), so that a lost token shows.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import http.server
import ipaddress
import json
import secrets
import ssl
import threading
import time
import typing as t
import urllib.parse
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

CLIENT_ID = "a53a6cc1-a1cd-46f7-a4aa-281cdabec33c"
BASE = "/ip-domain-management-snds"
TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"  # of personal accounts

LEGACY_ROW = (
    "{address},{day:%m/%d/%Y} 7:00 AM,{day:%m/%d/%Y} 7:00 PM,{rcpt},{data},{recipients},{colour},{rate},"
    "{day:%m/%d/%Y} 9:15 AM,{day:%m/%d/%Y} 10:40 PM,{traps},mx1.example.test,bounce@alpha.test,\r\n"
)
PORTAL_HEADER = (
    "Ip Address,Activity period,RCPT commands,DATA commands,Message recipients,Filter result,Complaint rate,"
    "Trap message period,Trap hits,JMR P1 Sender,Comments\r\n"
)
PORTAL_ROW = (
    "{address},{day:%m/%d/%Y} 7:00 AM - {day:%m/%d/%Y} 7:00 PM,{rcpt},{data},{recipients},{colour},{rate},"
    "{day:%m/%d/%Y} 9:15 AM - {day:%m/%d/%Y} 10:40 PM,{traps},bounce@alpha.test,\r\n"
)


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1 and localhost, and its key; return their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "the tests")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


def _encoded(data: dict[str, t.Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")


class Microsoft:
    """lifetime: seconds of an access token; drip: seconds before each octet of an answer; links: path and query to (status, text); rest:
    what the REST interface answers, by path."""

    def __init__(self, folder: Path, lifetime: int = 3600) -> None:
        self.lifetime = lifetime
        self.drip = 0.0
        self.links: dict[str, tuple[int, str]] = {}
        self.rest: dict[str, tuple[int, str]] = {}
        self.asked: list[tuple[str, str]] = []
        self.codes: dict[str, dict[str, str]] = {}
        self.refresh: set[str] = set()
        self.used: set[str] = set()
        self.access: dict[str, float] = {}
        self.reused = 0
        self.refreshed = 0
        self.lock = threading.Lock()
        cert, key = certificate(folder)
        self.bundle = str(cert)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        self.server = _Server(("127.0.0.1", 0), _handler(self))
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_port}"
        self.authority, self.api = f"{self.url}/consumers", f"{self.url}{BASE}"

    def __enter__(self) -> Microsoft:
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def sign_in(self, page: str) -> str:
        """Be the person at the browser: return the address that they are sent to."""
        query = {key: values[0] for key, values in urllib.parse.parse_qs(urllib.parse.urlsplit(page).query).items()}
        assert page.startswith(f"{self.authority}/oauth2/v2.0/authorize?")
        assert (query["client_id"], query["response_type"], query["code_challenge_method"]) == (CLIENT_ID, "code", "S256")
        assert query["redirect_uri"] == "http://localhost"
        assert {f"{CLIENT_ID}/.default", "offline_access", "openid", "profile"} <= set(query["scope"].split())
        code = f"M.C1_{secrets.token_urlsafe(30)}"
        self.codes[code] = query
        return f"http://localhost/?{urllib.parse.urlencode({'code': code, 'state': query['state'], 'session_state': '1'})}"

    def token(self, form: dict[str, str], origin: str | None) -> tuple[int, dict[str, t.Any]]:
        with self.lock:
            if origin is not None:
                return 400, {"error": "invalid_request", "error_description": "AADSTS90023: Cross-origin token redemption"}
            if form.get("grant_type") == "authorization_code":
                query = self.codes.pop(form.get("code", ""), None)
                challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).decode().rstrip("=")
                if query is None or challenge != query["code_challenge"] or form.get("redirect_uri") != query["redirect_uri"]:
                    return 400, {"error": "invalid_grant", "error_description": "AADSTS70000: the code is wrong, expired or was used"}
                return 200, self._tokens(query.get("nonce"))
            if form.get("grant_type") == "refresh_token":
                token = form.get("refresh_token", "")
                if token in self.used:
                    self.reused += 1
                    self.refresh.clear()
                if token not in self.refresh:
                    return 400, {"error": "invalid_grant", "error_description": "AADSTS70000: the refresh token is wrong or was used"}
                self.refresh.remove(token)
                self.used.add(token)
                self.refreshed += 1
                return 200, self._tokens(None)
            return 400, {"error": "unsupported_grant_type"}

    def _tokens(self, nonce: str | None) -> dict[str, t.Any]:
        now = int(time.time())
        access, refresh = f"EwB{secrets.token_urlsafe(40)}", f"M.C1_BL2.{secrets.token_urlsafe(40)}"
        self.access[access] = now + self.lifetime
        self.refresh.add(refresh)
        claims = {"ver": "2.0", "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0", "sub": "s", "aud": CLIENT_ID, "exp": now + 86400,
                  "iat": now, "nbf": now, "name": "Postmaster", "preferred_username": "postmaster@example.test", "oid": "o", "tid": TENANT,
                  **({"nonce": nonce} if nonce else {})}  # fmt: skip
        return {
            "token_type": "Bearer", "scope": f"openid profile offline_access {CLIENT_ID}/.default", "expires_in": self.lifetime,
            "ext_expires_in": self.lifetime, "access_token": access, "refresh_token": refresh,
            "id_token": f"{_encoded({'typ': 'JWT', 'alg': 'RS256'})}.{_encoded(claims)}.c2ln",
            "client_info": _encoded({"uid": "u", "utid": TENANT}),
        }  # fmt: skip

    def get(self, path: str, token: str | None) -> tuple[int, str, str]:
        """Return status, content type and text."""
        if path == "/consumers/v2.0/.well-known/openid-configuration":
            root = f"{self.authority}/oauth2/v2.0"
            return 200, "application/json", json.dumps({
                "issuer": f"https://login.microsoftonline.com/{TENANT}/v2.0", "authorization_endpoint": f"{root}/authorize",
                "token_endpoint": f"{root}/token", "device_authorization_endpoint": f"{root}/devicecode",
            })  # fmt: skip
        if path.startswith(f"{BASE}/api/report/"):
            if self.access.get(token or "", 0) < time.time():
                return 401, "text/plain", ""
            status, text = self.rest.get(path.removeprefix(f"{BASE}/api/report"), (404, ""))
            return status, "application/json; charset=utf-8", text
        status, text = self.links.get(path, (404, ""))
        return status, "text/html" if text.startswith("<") else "text/csv", text


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: t.Any) -> None:
        """Say nothing of a client that went away."""


def _handler(of: Microsoft) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def do_GET(self) -> None:
            of.asked.append(("GET", self.path))
            scheme, _, token = self.headers.get("Authorization", "").partition(" ")
            self._send(*of.get(self.path, token if scheme == "Bearer" else None))

        def do_POST(self) -> None:
            of.asked.append(("POST", self.path))
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            form = {key: values[0] for key, values in urllib.parse.parse_qs(body).items()}
            if self.path != "/consumers/oauth2/v2.0/token":
                self._send(404, "text/plain", "")
                return
            status, answer = of.token(form, self.headers.get("Origin"))
            self._send(status, "application/json; charset=utf-8", json.dumps(answer))

        def _send(self, status: int, kind: str, text: str) -> None:
            data = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            for at in range(len(data)) if of.drip else ():
                time.sleep(of.drip)
                self.wfile.write(data[at : at + 1])
            if not of.drip:
                self.wfile.write(data)

        def log_message(self, *_: t.Any) -> None:
            pass

    return Handler
