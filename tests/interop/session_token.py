"""boto3's STS client, driven from outside: one call, with a client certificate or with credentials of the environment.

Prints one JSON document. Exit 0: it worked. Exit 1: the server refused, and the document says how.
`code` prints what an authenticator shows, some steps of 30 seconds away from now.
"""

import argparse
import base64
import hashlib
import hmac
import json
import struct
import sys
import time

import boto3
import botocore
from botocore.config import Config
from botocore.exceptions import ClientError


def code(arguments):
    """RFC 6238, written down once more."""
    key = base64.b32decode(arguments.secret)
    step = int(time.time()) // 30 + arguments.steps
    tag = hmac.new(key, struct.pack(">Q", step), hashlib.sha1).digest()
    at = tag[-1] & 15
    word = struct.unpack(">I", tag[at : at + 4])[0] & 0x7FFFFFFF
    return {"Code": f"{word % 1_000_000:06}", "SecondsLeft": 30 - int(time.time()) % 30}


def call(arguments):
    options = {"retries": {"total_max_attempts": 1}, "connect_timeout": 10, "read_timeout": 20}
    if arguments.certificate:
        options["client_cert"] = (arguments.certificate, arguments.private_key)
        options["signature_version"] = botocore.UNSIGNED
    sts = boto3.client(
        "sts",
        region_name="us-east-1",
        endpoint_url=arguments.sts,
        verify=arguments.verify,
        config=Config(**options),
    )
    answer = getattr(sts, arguments.operation)(**json.loads(arguments.parameters))
    answer.pop("ResponseMetadata")
    return answer


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("call")
    one.add_argument("--sts", required=True)
    one.add_argument("--verify", required=True)
    one.add_argument("--certificate")
    one.add_argument("--private-key")
    one.add_argument("operation")
    one.add_argument("parameters")
    one.set_defaults(run=call)
    shown = commands.add_parser("code")
    shown.add_argument("secret")
    shown.add_argument("--steps", type=int, default=0)
    shown.set_defaults(run=code)
    arguments = parser.parse_args()
    try:
        result, status = arguments.run(arguments), 0
    except ClientError as refusal:
        error = {
            "Status": refusal.response["ResponseMetadata"]["HTTPStatusCode"],
            "Code": refusal.response["Error"]["Code"],
            "Message": refusal.response["Error"]["Message"],
        }
        result, status = {"Refused": error}, 1
    json.dump(result, sys.stdout, default=str)
    print()
    return status


if __name__ == "__main__":
    sys.exit(main())
