# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the data of SNDS is fetched: by automated-access links, and (experimental) by the REST interface that the portal itself uses.

Microsoft documents neither the REST interface nor the right to use it with the portal's client; what is here was read off two public
clients in 2026. Signing in is the authorization code grant with PKCE (RFC 7636), done by Microsoft's own library. No message holds a URL:
a link is a key.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import time
import typing as t
import urllib.parse
import warnings

import msal
import requests
import urllib3

from ..store.sealed import Sealed
from . import snds

AUTHORITY = "https://login.microsoftonline.com/consumers"
API = "https://substrate.office.com/ip-domain-management-snds"
#: The portal's own public client; it has no secret, and is sent back to http://localhost only.
CLIENT_ID = "a53a6cc1-a1cd-46f7-a4aa-281cdabec33c"
REDIRECT = "http://localhost"
MAX_BYTES = 32 << 20
MAX_REDIRECTS = 5


#: What only a person can mend (RFC 6749 section 5.2, and Microsoft's own).
_REFUSALS = frozenset(
    ("invalid_grant", "interaction_required", "consent_required", "login_required", "unauthorized_client", "invalid_client")
)


class AccessError(Exception):
    """Nothing came, and that says nothing of the addresses; state: failed, expired or unauthorized; repair: what to do."""

    def __init__(self, why: str, repair: str, state: str = "failed") -> None:
        super().__init__(why)
        self.why, self.repair, self.state = why, repair, state


class Http:
    """GET within bounds. timeout: seconds for a whole answer."""

    def __init__(self, timeout: float = 30.0) -> None:
        self.session, self.timeout = requests.Session(), timeout
        self.session.max_redirects = MAX_REDIRECTS
        self.session.headers["User-Agent"] = "goodstanding"

    def get(self, url: str, token: str | None = None) -> tuple[int, str]:
        """Return status and text; AccessError where none came. A token goes to this URL only, never after a redirect."""
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"} if token else {}
        answer = self.ask("GET", url, headers=headers, allow_redirects=token is None)
        return answer.status_code, answer.content.decode("utf-8-sig", "replace")

    def ask(self, method: str, url: str, **options: t.Any) -> requests.Response:
        """Return an answer whose content was read whole, within timeout seconds and MAX_BYTES."""
        end = time.monotonic() + self.timeout
        data = b""
        try:
            with self.session.request(method, url, timeout=self.timeout, stream=True, **options) as answer:
                # iter_content() waits for a whole piece, however slowly it comes.
                while piece := answer.raw.read1(1 << 16, decode_content=True):
                    data += piece
                    if len(data) > MAX_BYTES or time.monotonic() > end:
                        raise AccessError("the answer is too large or too slow", "Run again later.")
                answer._content = data  # what the library itself fills in where it is not streamed
                return answer
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as exc:
            # The text of the exception holds the URL.
            why = f"it could not be fetched: {type(exc).__name__}"
            raise AccessError(why, "See whether this machine may reach it (proxy, firewall).") from None


def from_link(http: Http, url: str, day: datetime.date | None) -> str | None:
    """Return what an automated-access link says of a day (None: of the latest), None where it answers 404."""
    parts = urllib.parse.urlsplit(url)
    if (parts.hostname or "").lower() == snds.RETIRED_HOST:
        raise AccessError(f"its host {snds.RETIRED_HOST} was retired on 2026-06-08", f"Make a new link: {snds.PORTAL}", "expired")
    if day is not None:
        query = f"{parts.query}&" if parts.query else ""
        url = urllib.parse.urlunsplit(parts._replace(query=f"{query}date={day:%m%d%y}"))
    status, text = http.get(url)
    if status == 404:
        return None
    if status != 200:
        raise AccessError(f"it answers HTTP {status}", f"Look at the link in the portal: {snds.PORTAL}")
    return text


class Api:
    """The REST interface, with the token that is sealed in the store under 'snds NAME'. frozen: read, and never renew the token."""

    def __init__(self, http: Http, sealed: Sealed, account: str, authority: str, url: str, frozen: bool) -> None:
        self.http, self.sealed, self.entry, self.authority = http, sealed, f"snds {account}", authority
        self.url, self.frozen = url.rstrip("/"), frozen
        self.token = ""

    def data(self, day: datetime.date) -> str | None:
        return self._get(f"/api/report/data/{day.isoformat()}")

    def status(self) -> str | None:
        return self._get("/api/report/status/ip")

    def _get(self, path: str) -> str | None:
        """Return an answer's text, None where there is no data."""
        self.token = self.token or self._access(force=False)
        status, text = self.http.get(self.url + path, self.token)
        if status == 401 and not self.frozen:
            self.token = self._access(force=True)
            status, text = self.http.get(self.url + path, self.token)
        if status == 404:
            # It is known to want a slash at the end at times.
            status, text = self.http.get(f"{self.url}{path}/", self.token)
        if status == 404:
            return None
        if status in (301, 302, 303, 307, 308, 401, 403):
            raise _unauthorized(f"Microsoft refuses the token (HTTP {status})")
        if status != 200:
            raise AccessError(f"it answers HTTP {status}", "Run again later.")
        return text

    def _access(self, force: bool) -> str:
        """Return an access token. Microsoft gives a new refresh token at every use, so that only one run at a time may renew it."""
        if self.frozen:
            return self._cached()
        with self.sealed.writer(self.entry) as writer:
            text = self.sealed.read(self.entry)
            cache = msal.SerializableTokenCache()
            cache.deserialize(text)
            app = application(self.http, self.authority, cache)
            accounts = app.get_accounts()
            if not accounts:
                raise _unauthorized("no token is stored for it")
            try:
                with _microsoft():
                    result = app.acquire_token_silent_with_error([scope()], account=accounts[0], force_refresh=force) or {}
            finally:
                if cache.has_state_changed:
                    writer.write(cache.serialize())
        if "access_token" in result:
            return str(result["access_token"])
        if result.get("error") in _REFUSALS:
            raise _unauthorized(f"Microsoft does not renew the token ({_error(result)})")
        raise AccessError(f"Microsoft does not renew the token now ({_error(result)})", "Run again later.")

    def _cached(self) -> str:
        """Return the stored access token while it is valid: a refresh token that is used must be stored anew."""
        stored = json.loads(self.sealed.read(self.entry) or "{}")
        for row in stored.get("AccessToken", {}).values():
            if int(row.get("expires_on", 0)) > time.time() + 60:
                return str(row["secret"])
        raise AccessError("check mode does not renew the token", "Run it without check mode.")


def _unauthorized(why: str) -> AccessError:
    return AccessError(why, "Sign in again: playbooks/snds_authorize.yml.", "unauthorized")


def _error(result: dict[str, t.Any]) -> str:
    """Return Microsoft's own short code; its description may hold parts of the request."""
    return "".join(char for char in str(result.get("error", "no reason given")) if char.isalnum() or char in "_ ")[:60]


def scope() -> str:
    return f"{CLIENT_ID}/.default"


def application(http: Http, authority: str, cache: msal.SerializableTokenCache | None = None) -> msal.PublicClientApplication:
    with _microsoft():
        return msal.PublicClientApplication(
            CLIENT_ID, authority=authority, http_client=_Client(http), token_cache=cache, instance_discovery=False
        )


@contextlib.contextmanager
def _microsoft() -> t.Iterator[None]:
    """Whatever Microsoft's library makes of an answer that it did not expect is one failure, and its text is not shown."""
    try:
        yield
    except AccessError:
        raise
    except Exception as exc:
        raise AccessError(f"Microsoft's sign-in service did not answer as it should ({type(exc).__name__})", "Run again later.") from None


class _Client:
    """What msal wants of an HTTP client, within our bounds."""

    def __init__(self, http: Http) -> None:
        self.http = http

    def get(self, url: str, params: t.Any = None, headers: t.Any = None, **_: t.Any) -> requests.Response:
        return self.http.ask("GET", url, params=params, headers=headers)

    def post(self, url: str, params: t.Any = None, data: t.Any = None, headers: t.Any = None, **_: t.Any) -> requests.Response:
        return self.http.ask("POST", url, params=params, data=data, headers=headers)

    def close(self) -> None:
        self.http.session.close()


def begin(http: Http, sealed: Sealed, account: str, authority: str) -> str:
    """Return the page on which a person signs in. What is needed to go on is sealed in the store."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it recommends a form that is posted: nobody listens at the address that a person copies
        flow = application(http, authority).initiate_auth_code_flow([scope()], redirect_uri=REDIRECT)
    with sealed.writer(f"sign-in of snds {account}") as writer:
        writer.write(json.dumps(flow))
    return str(flow["auth_uri"])


def complete(http: Http, sealed: Sealed, account: str, authority: str, redirected: str) -> None:
    """Store the token for the page that the browser was sent to. AccessError where Microsoft does not give one."""
    with sealed.writer(f"sign-in of snds {account}") as begun:
        text = sealed.read(f"sign-in of snds {account}")
        if text is None:
            raise AccessError("no sign-in was begun", "Run playbooks/snds_authorize.yml anew.", "unauthorized")
        answer = {key: values[0] for key, values in urllib.parse.parse_qs(urllib.parse.urlsplit(redirected.strip()).query).items()}
        if "code" not in answer and "error" not in answer:
            raise AccessError("the address holds no code", f"Paste the whole address that begins with {REDIRECT}/?code=.", "unauthorized")
        cache = msal.SerializableTokenCache()
        app = application(http, authority, cache)
        begun.write(None)  # a code works once
        try:
            result = app.acquire_token_by_auth_code_flow(json.loads(text), answer)
        except AccessError:
            raise
        except Exception as exc:
            raise AccessError(
                f"the sign-in could not be completed ({type(exc).__name__})", "Run it anew; a code lives one minute.", "unauthorized"
            ) from None
        if "access_token" not in result:
            raise AccessError(f"Microsoft refuses the sign-in ({_error(result)})", "Run it anew; a code lives one minute.", "unauthorized")
        with sealed.writer(f"snds {account}") as writer:
            writer.write(cache.serialize())
