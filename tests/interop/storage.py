"""What the batch host does with boto3. Prints one JSON document."""

import argparse
import io
import json
import os
import ssl
import time
import urllib.error
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

PART = 5 * 1024 * 1024


def refused(call):
    """The code and the message of a refusal."""
    try:
        call()
    except ClientError as error:
        said = error.response["Error"]
        return [said["Code"], said["Message"]]
    return None


def fetch(url, roots, data=None):
    """Status and body of a URL that somebody else presigned."""
    request = urllib.request.Request(url, data=data, method="PUT" if data else "GET")
    try:
        with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=roots)) as answer:
            return [answer.status, answer.read().decode()]
    except urllib.error.HTTPError as error:
        return [error.code, error.read().decode()]


def work(s3, roots):
    """Everything that must go well, and what must not."""
    done = {}
    body = bytes(range(256)) * 8
    s3.put_object(Bucket="data", Key="batch/a b+c.txt", Body=body)
    done["same"] = s3.get_object(Bucket="data", Key="batch/a b+c.txt")["Body"].read() == body
    # Streamed with a checksum behind it, in every algorithm that needs no more than Python.
    for algorithm in ["CRC32", "SHA1", "SHA256"]:
        s3.put_object(Bucket="data", Key=f"batch/{algorithm}", Body=io.BytesIO(body), ChecksumAlgorithm=algorithm)
    large = io.BytesIO(b"0123456789" * (PART // 10 * 2 + 7))
    parts = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART)
    s3.upload_fileobj(large, "data", "batch/large", Config=parts)
    done["large"] = s3.head_object(Bucket="data", Key="batch/large")["ContentLength"]
    s3.copy_object(Bucket="data", Key="batch/copy", CopySource="data/batch/SHA256")
    done["listed"] = s3.list_objects_v2(Bucket="data", Prefix="batch/")["KeyCount"]

    sign = s3.generate_presigned_url
    named = {"Bucket": "data", "Key": "batch/presigned"}
    done["presigned_put"] = fetch(sign("put_object", Params=named, ExpiresIn=60), roots, b"by URL")
    url = sign("get_object", Params=named, ExpiresIn=2)
    done["presigned_get"] = fetch(url, roots)
    time.sleep(3)
    done["presigned_late"] = fetch(url, roots)
    elsewhere = sign("get_object", Params={"Bucket": "data", "Key": "other/secret"}, ExpiresIn=60)
    done["presigned_elsewhere"] = fetch(elsewhere, roots)

    both = {"Objects": [{"Key": "batch/copy"}, {"Key": "other/secret"}]}
    done["delete_both"] = refused(lambda: s3.delete_objects(Bucket="data", Delete=both))
    one = {"Objects": [{"Key": "batch/copy"}]}
    done["deleted"] = s3.delete_objects(Bucket="data", Delete=one)["Deleted"]
    done["read_elsewhere"] = refused(lambda: s3.get_object(Bucket="data", Key="other/secret"))
    done["copy_elsewhere"] = refused(
        lambda: s3.copy_object(Bucket="data", Key="batch/stolen", CopySource="data/other/secret")
    )
    done["list_elsewhere"] = refused(lambda: s3.list_objects_v2(Bucket="data", Prefix="other/"))
    return done


def cut_off(s3, go, gone):
    """Uploads parts for as long as it may. Tells after the first one, and waits until something was done about it."""
    upload = s3.create_multipart_upload(Bucket="data", Key="batch/endless")["UploadId"]
    part = lambda number: s3.upload_part(
        Bucket="data", Key="batch/endless", UploadId=upload, PartNumber=number, Body=b"x" * PART
    )
    part(1)
    open(go, "w").close()
    deadline = time.time() + 60
    while not os.path.exists(gone):
        assert time.time() < deadline, "nothing was done about it"
        time.sleep(0.05)
    began = time.time()
    for number in range(2, 200):
        refusal = refused(lambda: part(number))
        if refusal:
            return {"refusal": refusal, "seconds": time.time() - began}
        time.sleep(0.2)
    return {"refusal": None}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("subcommand", choices=["work", "cut-off"])
    parser.add_argument("--roots", required=True)
    parser.add_argument("--go")
    parser.add_argument("--gone")
    arguments = parser.parse_args()
    config = Config(signature_version="s3v4", retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    s3 = boto3.client("s3", config=config)
    if arguments.subcommand == "work":
        print(json.dumps(work(s3, arguments.roots)))
    else:
        print(json.dumps(cut_off(s3, arguments.go, arguments.gone)))


main()
