"""Both sides of a proxy: a service that trusts it, and the Python client in front of it.

`serve PORT_FILE` is a few lines of S3 (path style, in memory) that believe whatever reaches them, and tell in each
answer which X-Auth-* headers did. The other commands are boto3, with credentials from the environment. They print one
JSON document; exit 1 means that the request was refused.
"""

import json
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

TOLD = ("X-Auth-Principal", "X-Auth-Session", "X-Auth-Source-Identity", "X-Auth-Payload", "X-Bowline-Action")


class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects = {}

    def body(self):
        length = int(self.headers.get("Content-Length") or 0)
        data = self.rfile.read(length)
        if "aws-chunked" not in (self.headers.get("Content-Encoding") or ""):
            return data
        out, rest = b"", data
        while rest:
            line, rest = rest.split(b"\r\n", 1)
            size = int(line.split(b";")[0], 16)
            if size == 0:
                break
            out, rest = out + rest[:size], rest[size + 2 :]
        return out

    def answer(self, status, body=b"", kind="application/octet-stream"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"0"')
        for name in TOLD:
            values = self.headers.get_all(name)
            if values:
                self.send_header("X-Seen-" + name, " | ".join(values))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_PUT(self):
        self.objects[unquote(urlsplit(self.path).path)] = self.body()
        self.answer(200)

    def do_GET(self):
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        if path.count("/") == 1 or path.endswith("/"):
            prefix = path.rstrip("/") + "/" + parse_qs(parts.query).get("prefix", [""])[0]
            found = [key for key in sorted(self.objects) if key.startswith(prefix)]
            bucket = path.strip("/")
            items = "".join(
                f"<Contents><Key>{key[len(bucket) + 2:]}</Key><Size>{len(self.objects[key])}</Size>"
                "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
                for key in found
            )
            text = (
                '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
                f"<Name>{bucket}</Name><KeyCount>{len(found)}</KeyCount><MaxKeys>1000</MaxKeys>"
                f"<IsTruncated>false</IsTruncated>{items}</ListBucketResult>"
            )
            self.answer(200, text.encode(), "application/xml")
        elif path in self.objects:
            self.answer(200, self.objects[path])
        else:
            self.answer(404)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


def serve(port_file):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    with open(port_file, "w") as file:
        file.write(str(server.server_port))
    server.serve_forever()


def client(endpoint):
    import boto3
    from botocore.config import Config

    once = Config(
        retries={"total_max_attempts": 1},
        connect_timeout=10,
        read_timeout=20,
        signature_version="s3v4",
        s3={"addressing_style": "path"},
    )
    return boto3.client("s3", region_name="us-east-1", endpoint_url=endpoint, config=once)


def seen(answer):
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    return {name[7:]: value for name, value in headers.items() if name.startswith("x-seen-")}


def put(endpoint, bucket, key, text):
    answer = client(endpoint).put_object(Bucket=bucket, Key=key, Body=text.encode())
    return {"Seen": seen(answer)}


def get(endpoint, bucket, key):
    answer = client(endpoint).get_object(Bucket=bucket, Key=key)
    return {"Text": answer["Body"].read().decode(), "Seen": seen(answer)}


def forged(endpoint, bucket, key):
    """A client that sends the headers a proxy would set; outside the signature, as any client can."""
    s3 = client(endpoint)

    def forge(request, **_):
        for name in ("X-Auth-Principal", "X-Auth-Session", "X-Auth-Source-Identity"):
            request.headers[name] = "somebody-else"
        request.headers["X-Original-URI"] = "/data/allowed.txt"
        request.headers["X-Original-Method"] = "GET"
        request.headers["X-Bowline-Action"] = "s3:GetObject"
        request.headers["X-Bowline-Resource"] = "arn:aws:s3:::data/allowed.txt"

    s3.meta.events.register("before-send.s3.*", forge)
    answer = s3.get_object(Bucket=bucket, Key=key)
    return {"Text": answer["Body"].read().decode(), "Seen": seen(answer)}


def put_with_signed_length(endpoint, bucket, key, text):
    """As s3cmd, rclone and MinIO's clients sign."""
    import hashlib

    import boto3
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest

    body = text.encode()
    headers = {"Content-Length": str(len(body)), "X-Amz-Content-SHA256": hashlib.sha256(body).hexdigest()}
    request = AWSRequest("PUT", f"{endpoint}/{bucket}/{key}", headers=headers, data=body)
    S3SigV4Auth(boto3.Session().get_credentials(), "s3", "us-east-1").add_auth(request)
    signed = request.headers["Authorization"]
    assert "content-length" in signed, signed
    return fetch(urllib.request.Request(request.url, body, dict(request.headers), method="PUT"))


def presign(endpoint, bucket, key):
    where = {"Bucket": bucket, "Key": key}
    url = client(endpoint).generate_presigned_url("get_object", Params=where, ExpiresIn=60)
    return {"Url": url, **fetch(urllib.request.Request(url))}


def url(_endpoint, text):
    return fetch(urllib.request.Request(text))


def fetch(request):
    try:
        answer = urllib.request.urlopen(request)
    except urllib.error.HTTPError as refusal:
        return {"Status": refusal.code, "Reason": refusal.headers.get("X-Auth-Reason")}
    return {"Status": answer.status, "Text": answer.read().decode()}


def listed(endpoint, bucket, prefix):
    answer = client(endpoint).list_objects_v2(Bucket=bucket, Prefix=prefix)
    return {"Keys": [item["Key"] for item in answer.get("Contents", [])]}


def main():
    command, *arguments = sys.argv[1:]
    if command == "serve":
        return serve(*arguments)
    from botocore.exceptions import ClientError

    commands = (put, get, forged, put_with_signed_length, presign, url, listed)
    run = {function.__name__: function for function in commands}[command]
    try:
        result, status = run(*arguments), 0
    except ClientError as refusal:
        answer = refusal.response["ResponseMetadata"]
        reason = answer["HTTPHeaders"].get("x-auth-reason")
        result, status = {"Status": answer["HTTPStatusCode"], "Reason": reason}, 1
    json.dump(result, sys.stdout)
    print()
    return status


if __name__ == "__main__":
    sys.exit(main())
