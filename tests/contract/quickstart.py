#!/usr/bin/env python3
# Origin: the quickstart check that was published with the HPTS contract; all credit to its authors. This copy differs
# in one thing only: HPTS_TOKEN_URL, so that the token may come from another process than the one that is paid.
"""Plays the quickstart of the HPTS contract against a running server, as an outside client would.

Usage: quickstart.py [BASE_URL]      (default http://127.0.0.1:8080; the server runs `hpts serve --demo` on fresh data)
Environment: HPTS_CLIENT_ID (demo), HPTS_CLIENT_SECRET (demo-secret), HPTS_TOKEN_URL (BASE_URL)
Needs a clock past 2026-05-01. Prints one line per step; exits 1 at the first step that does not hold. Python standard library only.
"""
import base64, concurrent.futures, json, os, sys, time, urllib.error, urllib.parse, urllib.request, uuid

BASE = (sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080").rstrip("/")
TOKEN_BASE = os.environ.get("HPTS_TOKEN_URL", BASE).rstrip("/")
CLIENT = os.environ.get("HPTS_CLIENT_ID", "demo")
SECRET = os.environ.get("HPTS_CLIENT_SECRET", "demo-secret")
LOAN, BORROWER = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"


def call(method, path, body=None, token=None, base=BASE, **headers):
    """Sends one request; returns (status, headers, parsed body)."""
    data = None
    hdrs = {k.replace("_", "-"): v for k, v in headers.items()}
    if isinstance(body, (bytes, str)):
        data = body.encode() if isinstance(body, str) else body
    elif body is not None:
        data = json.dumps(body).encode()
        hdrs.setdefault("Content-Type", "application/json")
    if token:
        hdrs["Authorization"] = "Bearer " + token
    request = urllib.request.Request(base + path, data=data, headers=hdrs, method=method)
    try:
        with urllib.request.urlopen(request, timeout=70) as answer:
            status, head, raw = answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        status, head, raw = error.code, error.headers, error.read()
    try:
        parsed = json.loads(raw) if raw else None
    except ValueError:
        parsed = raw.decode(errors="replace")
    return status, head, parsed


def hold(what, truth, seen=None):
    """Reports one step and stops at the first that fails."""
    print(("ok    " if truth else "FAILS ") + what + ("" if truth else f"\n      saw: {seen}"))
    if not truth:
        sys.exit(1)


def token(scope):
    form = urllib.parse.urlencode({"grant_type": "client_credentials", "client_id": CLIENT, "client_secret": SECRET, "scope": scope})
    status, _, body = call("POST", "/oauth2/token", form, base=TOKEN_BASE, Content_Type="application/x-www-form-urlencoded")
    return status, body


def problem(answer, status, code):
    got, head, body = answer
    return got == status and head.get("Content-Type", "").startswith("application/problem+json") and body.get("code") == code


status, body = token("hpts:payments:write hpts:balances:read hpts:ledger:read")
hold("token: client credentials, Bearer, one hour", status == 200 and body.get("token_type") == "Bearer" and body.get("expires_in") == 3600, body)
bearer = body["access_token"]
hold("token is a JWT with tenant_id", "tenant_id" in json.loads(base64.urlsafe_b64decode(bearer.split(".")[1] + "==")), bearer)

status, _, body = call("GET", "/v1/health/live")
hold("health/live needs no token", status == 200 and body["status"] == "ok" and {"version", "git_sha"} <= body.keys(), body)

payment = {"loan_id": LOAN, "borrower_id": BORROWER, "amount_minor": "88849", "currency": "USD", "effective_at": "2026-05-01",
           "source_method": "ach", "external_ref": "stripe_ch_xyz123"}
key = "payment:loan_42:proc_txn_abc123"
first = call("POST", "/v1/payments", payment, bearer, Idempotency_Key=key)
hold("payment answers 201 with ids and posted_at", first[0] == 201 and {"payment_event_id", "journal_entry_id", "posted_at"} <= first[2].keys(), first)
hold("allocation is fees 500, interest 10000, principal 78349, suspense 0",
     first[2]["allocation"] == {"fees_minor": "500", "interest_minor": "10000", "principal_minor": "78349", "suspense_minor": "0"}, first[2])

again = call("POST", "/v1/payments", json.dumps(dict(reversed(payment.items())), indent=2), bearer, Idempotency_Key=key, Content_Type="application/json")
hold("same key, same payload (other spacing and order): 200 with the original result", again[0] == 200 and again[2] == first[2], again)
other = call("POST", "/v1/payments", payment | {"amount_minor": "88850"}, bearer, Idempotency_Key=key)
hold("same key, other payload: 422 idempotency_mismatch", problem(other, 422, "idempotency_mismatch"), other)
hold("no key: 400 idempotency_key_missing", problem(none := call("POST", "/v1/payments", payment, bearer), 400, "idempotency_key_missing"), none)
hold("no token: 401", (bare := call("POST", "/v1/payments", payment, Idempotency_Key=key))[0] == 401 and "WWW-Authenticate" in bare[1], bare)
narrow = token("hpts:balances:read")[1]["access_token"]
hold("token without the scope: 403 insufficient_scope", problem(narrowed := call("POST", "/v1/payments", payment, narrow, Idempotency_Key=key), 403, "insufficient_scope"), narrowed)
bad = call("POST", "/v1/payments", payment | {"amount_minor": 88849, "currency": "usd"}, bearer, Idempotency_Key="payment:bad:0001")
hold("two bad fields: 422 validation_failed naming both", problem(bad, 422, "validation_failed") and {e["field"] for e in bad[2]["errors"]} == {"amount_minor", "currency"}, bad)

status, _, body = call("GET", f"/v1/loans/{LOAN}/balance", token=bearer)
hold("balance is 921651 / 0 / 0, total 921651", status == 200 and [body[k] for k in (
    "principal_outstanding_minor", "interest_receivable_minor", "fees_receivable_minor", "total_exposure_minor")] == ["921651", "0", "0", "921651"], body)
status, _, body = call("GET", "/v1/journal-entries/" + first[2]["journal_entry_id"], token=bearer)
sums = {"DR": 0, "CR": 0}
for line in body["lines"]:
    sums[line["direction"]] += int(line["amount_minor"])
hold("its journal entry balances at 88849", status == 200 and sums == {"DR": 88849, "CR": 88849}, body)

run = uuid.uuid4().hex[:12]
small = payment | {"amount_minor": "100", "external_ref": "run_" + run}
status, head, body = call("POST", "/v1/payments", small, bearer, Idempotency_Key=f"payment:async:{run}", Prefer="respond-async")
hold("Prefer: respond-async answers 202 with Location", status == 202 and body["status"] == "accepted" and head.get("Location"), body)
where = urllib.parse.urlsplit(head["Location"]).path
status, _, body = call("GET", where + "?wait=20", token=bearer)
hold("its status, long-polled, is posted", status == 200 and body["status"] == "posted" and body["allocation"]["principal_minor"] == "100", body)

with concurrent.futures.ThreadPoolExecutor(32) as pool:
    race = list(pool.map(lambda _: call("POST", "/v1/payments", small, bearer, Idempotency_Key=f"payment:race:{run}"), range(32)))
codes = sorted({r[0] for r in race})
hold("32 racing calls with one key: exactly one 201, the rest 200 or 409", sum(r[0] == 201 for r in race) == 1 and set(codes) <= {200, 201, 409}, codes)
time.sleep(0.2)
status, _, body = call("GET", f"/v1/loans/{LOAN}/balance", token=bearer)
hold("each of them counted once: 921651 - 200", body["principal_outstanding_minor"] == "921451", body)
print("all steps hold")
