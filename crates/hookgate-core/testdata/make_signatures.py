#!/usr/bin/env python3
"""Writes signatures.jsonl: what each scheme sends, computed by Python's hmac and not by us.

Each line: scheme, options, secret, time in milliseconds, body, headers. Run it after adding
a scheme and commit the output."""

import base64
import hashlib
import hmac
import json
import pathlib

NOW = 1_739_537_320_000
SECRET = "a secret \u00fc"
BODIES = [
    b"",
    b'{"event":"call_ended"}',
    '{"name":"Jürgen 🎉","text":"¿Qué?"}'.encode(),
    bytes(range(256)),
    b'{"a":1}\r\n',
    b"\xef\xbb\xbf{}",
    b"x" * 5000,
]


def mac(algorithm, *pieces, key=SECRET.encode()):
    return hmac.new(key, b"".join(pieces), algorithm)


def rows(body):
    seconds, millis = str(NOW // 1000).encode(), str(NOW).encode()
    yield "elevenlabs.official", {}, SECRET, [
        ["elevenlabs-signature", f"t={NOW // 1000},v0={mac('sha256', seconds, b'.', body).hexdigest()}"]]
    yield "elevenlabs.seed_plain_hex", {}, SECRET, [
        ["elevenlabs-signature", mac("sha256", body).hexdigest()]]
    yield "retell.v_d", {}, SECRET, [
        ["x-retell-signature", f"v={NOW},d={mac('sha256', body, millis).hexdigest()}"]]
    yield "vapi.hmac", {}, SECRET, [
        ["x-timestamp", str(NOW)], ["x-signature", mac("sha256", millis, b".", body).hexdigest()]]
    yield "vapi.seed_hex", {}, SECRET, [["x-vapi-signature", mac("sha256", body).hexdigest()]]
    yield "mightycall.hmac", {}, SECRET, [["x-signature", mac("sha256", body).hexdigest()]]
    yield "tawk.hmac_sha1", {}, SECRET, [["x-tawk-signature", mac("sha1", body).hexdigest()]]
    key = hashlib.sha256(b"key").digest()
    covered = (b"msg_1.", b"POST https://gw.example.com/in/x ", millis, b".", body)
    for algorithm in ["sha1", "sha256", "sha512"]:
        digest = base64.b64encode(mac(algorithm, *covered, key=key).digest()).decode()
        yield "hmac", {
            "algorithm": algorithm,
            "encoding": "base64",
            "signature_header": "webhook-signature",
            "signature_prefix": "v1,",
            "timestamp_header": "webhook-timestamp",
            "message_id_header": "webhook-id",
            "payload_format": "{svix-id}.{method} {url} {timestamp}.{body}",
            "secret_is_base64": True,
            "multi": True,
        }, base64.b64encode(key).decode(), [
            ["webhook-id", "msg_1"], ["webhook-timestamp", str(NOW)], ["webhook-signature", f"v1,{digest}"]]


with open(pathlib.Path(__file__).with_name("signatures.jsonl"), "w", encoding="utf-8") as out:
    for body in BODIES:
        for scheme, options, secret, headers in rows(body):
            line = {"scheme": scheme, "options": options, "secret": secret, "now_unix_ms": NOW,
                    "body_base64": base64.b64encode(body).decode(), "headers": headers}
            out.write(json.dumps(line) + "\n")
