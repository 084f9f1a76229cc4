"""The Python clients, driven from outside: trade a certificate for credentials, ask who one is.

Prints one JSON document. Exit 0: it worked. Exit 1: the server refused, and the document says how.
Anything else is a fault of the run, with a traceback.
"""

import argparse
import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from iam_rolesanywhere_session import CredentialsRetrievalError, IAMRolesAnywhereSession

# One attempt: a refusal should be seen, not repeated.
ONCE = Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=20)


def whoami(session, arguments):
    sts = session.client(
        "sts",
        region_name=arguments.region,
        endpoint_url=arguments.sts,
        verify=arguments.verify,
        config=ONCE,
    )
    answer = sts.get_caller_identity()
    return {name: answer[name] for name in ("Arn", "Account", "UserId")}


def exchange(arguments):
    client = IAMRolesAnywhereSession(
        profile_arn=arguments.profile,
        role_arn=arguments.role,
        trust_anchor_arn=arguments.anchor,
        certificate=arguments.certificate,
        private_key=arguments.private_key,
        certificate_chain=arguments.chain,
        session_duration=arguments.duration,
        region=arguments.region,
        endpoint=arguments.endpoint,
        verify=arguments.verify,
    )
    session = client.get_session()
    frozen = session.get_credentials().get_frozen_credentials()
    result = {
        "AccessKeyId": frozen.access_key,
        "SecretAccessKey": frozen.secret_key,
        "SessionToken": frozen.token,
        "Algorithm": client._request_signer.algorithm,
    }
    if arguments.sts:
        result["Identity"] = whoami(session, arguments)
    return result


def presign(arguments):
    """A GetCallerIdentity URL signed in its query, as Kubernetes authenticators send it."""
    sts = boto3.client("sts", region_name=arguments.region, endpoint_url=arguments.sts)
    url = sts.generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod="GET")
    return {"Url": url}


def parse():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--region", default="us-east-1")
    common.add_argument("--sts", help="URL of the STS endpoint")
    common.add_argument("--verify", help="PEM file with the roots to trust")

    trade = commands.add_parser("exchange", parents=[common])
    trade.add_argument("--endpoint", required=True, help="host:port")
    trade.add_argument("--anchor", required=True)
    trade.add_argument("--profile", required=True)
    trade.add_argument("--role", required=True)
    trade.add_argument("--certificate", required=True)
    trade.add_argument("--private-key", required=True)
    trade.add_argument("--chain", help="PEM file with the intermediates to send")
    trade.add_argument("--duration", type=int, default=900)
    trade.set_defaults(run=exchange)

    # Both take their credentials from the environment, as every boto3 program does.
    who = commands.add_parser("whoami", parents=[common])
    who.set_defaults(run=lambda arguments: whoami(boto3, arguments))
    url = commands.add_parser("presign", parents=[common])
    url.set_defaults(run=presign)
    return parser.parse_args()


def main():
    arguments = parse()
    try:
        result, status = arguments.run(arguments), 0
    except CredentialsRetrievalError as refusal:
        error = {"Status": refusal.status_code, "Message": refusal.message}
        result, status = {"Refused": error}, 1
    except ClientError as refusal:
        error = {
            "Status": refusal.response["ResponseMetadata"]["HTTPStatusCode"],
            "Code": refusal.response["Error"]["Code"],
            "Message": refusal.response["Error"]["Message"],
        }
        result, status = {"Refused": error}, 1
    json.dump(result, sys.stdout)
    print()
    return status


if __name__ == "__main__":
    sys.exit(main())
