"""boto3 assumes roles, one after the other.

Reads a list of steps on standard input, each with the name of the credentials it uses (`as`; none for those of the
environment), the parameters of AssumeRole (`ask`) and a name to keep the new credentials under (`keep`). Prints one
JSON document: what each step gave, or how it was refused.
"""

import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

# One attempt: a refusal should be seen, not repeated. And what is wrong shall be refused by the server.
ONCE = Config(
    retries={"total_max_attempts": 1},
    connect_timeout=10,
    read_timeout=20,
    parameter_validation=False,
)


def client(endpoint, verify, credentials):
    named = {}
    if credentials:
        named = {
            "aws_access_key_id": credentials["AccessKeyId"],
            "aws_secret_access_key": credentials["SecretAccessKey"],
            "aws_session_token": credentials["SessionToken"],
        }
    return boto3.client(
        "sts", region_name="us-east-1", endpoint_url=endpoint, verify=verify, config=ONCE, **named
    )


def taken(sts, endpoint, verify, step, kept):
    answer = sts.assume_role(**step["ask"])
    credentials = answer["Credentials"]
    if "keep" in step:
        kept[step["keep"]] = credentials
    identity = client(endpoint, verify, credentials).get_caller_identity()
    return {
        "Arn": answer["AssumedRoleUser"]["Arn"],
        "AssumedRoleId": answer["AssumedRoleUser"]["AssumedRoleId"],
        "Identity": identity["Arn"],
        "Account": identity["Account"],
        "UserId": identity["UserId"],
        "PackedPolicySize": answer.get("PackedPolicySize"),
        "SourceIdentity": answer.get("SourceIdentity"),
        "TokenBytes": len(credentials["SessionToken"]),
        "Expiration": credentials["Expiration"].timestamp(),
    }


def main():
    endpoint, verify = sys.argv[1:3]
    kept, results = {}, []
    for step in json.load(sys.stdin):
        sts = client(endpoint, verify, kept.get(step.get("as")))
        try:
            results.append(taken(sts, endpoint, verify, step, kept))
        except ClientError as refusal:
            error = refusal.response["Error"]
            status = refusal.response["ResponseMetadata"]["HTTPStatusCode"]
            refused = {"Code": error["Code"], "Message": error["Message"], "Status": status}
            results.append({"Refused": refused})
    json.dump(results, sys.stdout)
    print()


if __name__ == "__main__":
    main()
