"""An identity provider as other people write them, and the clients that bring its word.

PyJWT makes and verifies tokens, signxml signs assertions, http.server publishes keys; boto3 trades them. Every
subcommand prints one JSON document. Exit 0: it worked. Exit 1: the server refused, and the document says how.
"""

import argparse
import base64
import datetime
import http.server
import json
import pathlib
import ssl
import sys
import threading
import time
import urllib.request

import boto3
import jwt
import jwt.algorithms
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from lxml import etree
from signxml import XMLSigner, methods

ONCE = {"retries": {"total_max_attempts": 1}, "connect_timeout": 10, "read_timeout": 20}
ALGORITHMS = ("RS256", "ES256", "ES384", "EdDSA")


def make_key(algorithm):
    if algorithm == "RS256":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm == "ES384":
        return ec.generate_private_key(ec.SECP384R1())
    return ed25519.Ed25519PrivateKey.generate()


def store_key(path, key):
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def load_key(path):
    return serialization.load_pem_private_key(path.read_bytes(), None)


def public_jwk(algorithm, key):
    kind = jwt.algorithms.get_default_algorithms()[algorithm]
    document = kind.to_jwk(key.public_key(), as_dict=True)
    document.pop("key_ops", None)
    return {**document, "kid": algorithm, "use": "sig", "alg": algorithm}


def issuer(arguments):
    """Publishes keys until standard input ends; says where on the first line."""
    folder = arguments.folder
    keys = {algorithm: make_key(algorithm) for algorithm in ALGORITHMS}
    for algorithm, key in keys.items():
        store_key(folder / f"{algorithm}.pem", key)
    key_set = {"keys": [public_jwk(algorithm, key) for algorithm, key in keys.items()]}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            url = f"http://127.0.0.1:{self.server.server_port}"
            documents = {
                "/.well-known/openid-configuration": {"issuer": url, "jwks_uri": f"{url}/jwks"},
                "/jwks": key_set,
            }
            document = documents.get(self.path)
            self.send_response(200 if document else 404)
            self.send_header("content-type", "application/json")
            self.end_headers()
            if document:
                self.wfile.write(json.dumps(document).encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"issuer": f"http://127.0.0.1:{server.server_port}"}), flush=True)
    sys.stdin.read()


def token(arguments):
    now = int(time.time())
    claims = {
        "iss": arguments.issuer,
        "sub": arguments.subject,
        "aud": arguments.audience,
        "iat": now,
        "exp": now + 300,
        "https://aws.amazon.com/tags": {"principal_tags": {"Project": ["app"]}},
    }
    key = load_key(arguments.folder / f"{arguments.algorithm}.pem")
    text = jwt.encode(
        claims, key, algorithm=arguments.algorithm, headers={"kid": arguments.algorithm}
    )
    path = arguments.folder / "token"
    path.write_text(text)
    return {"Token": text, "File": str(path)}


def sts(arguments, **more):
    return boto3.client(
        "sts",
        region_name="us-east-1",
        endpoint_url=arguments.sts,
        verify=arguments.verify,
        config=Config(**ONCE, **more),
    )


def assume(arguments):
    """boto3 trades the token, unsigned, and asks who that is; then boto3's own provider does all of it by itself."""
    text = (arguments.folder / "token").read_text()
    answer = sts(arguments, signature_version=UNSIGNED).assume_role_with_web_identity(
        RoleArn=arguments.role, RoleSessionName="build-7", WebIdentityToken=text
    )
    credentials = answer["Credentials"]
    session = boto3.Session(
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )
    client = session.client(
        "sts", region_name="us-east-1", endpoint_url=arguments.sts, verify=arguments.verify
    )
    return {
        "Subject": answer["SubjectFromWebIdentityToken"],
        "Provider": answer["Provider"],
        "Audience": answer["Audience"],
        "Arn": client.get_caller_identity()["Arn"],
    }


def by_itself(arguments):
    """What a pod has: a token file, a role and an endpoint in its environment, and code that knows of none."""
    return {"Arn": sts(arguments).get_caller_identity()["Arn"]}


def verify_ours(arguments):
    """A token of the server's own, verified by PyJWT as Vault or Kubernetes would: by its issuer's discovery."""
    client = sts(arguments)
    answer = client.get_web_identity_token(
        Audience=["https://vault.example"],
        SigningAlgorithm=arguments.algorithm,
        DurationSeconds=120,
        Tags=[{"Key": "job", "Value": "7"}],
    )
    text = answer["WebIdentityToken"]
    roots = ssl.create_default_context(cafile=arguments.verify)
    issuer_url = jwt.decode(text, options={"verify_signature": False})["iss"]
    document = f"{issuer_url}/.well-known/openid-configuration"
    configuration = json.load(urllib.request.urlopen(document, context=roots))
    keys = jwt.PyJWKClient(configuration["jwks_uri"], ssl_context=roots)
    return jwt.decode(
        text,
        keys.get_signing_key_from_jwt(text).key,
        algorithms=configuration["id_token_signing_alg_values_supported"],
        audience="https://vault.example",
        issuer=configuration["issuer"],
        options={"require": ["exp", "iat", "sub", "jti"]},
    )


SAML = "urn:oasis:names:tc:SAML:2.0"


def metadata(arguments):
    """A key with its certificate, and the metadata that names it."""
    key = make_key(arguments.algorithm)
    store_key(arguments.folder / "idp.pem", key)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "idp.example")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    encoded = base64.encodebytes(certificate.public_bytes(serialization.Encoding.DER)).decode()
    (arguments.folder / "idp.crt").write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
    )
    path = arguments.folder / "metadata.xml"
    path.write_text(
        f"""<?xml version="1.0"?>
<!-- as providers write it: wrapped, with comments, with keys for other ends -->
<md:EntityDescriptor xmlns:md="{SAML}:metadata" entityID="https://idp.example/saml">
  <md:IDPSSODescriptor protocolSupportEnumeration="{SAML}:protocol">
    <md:KeyDescriptor use="signing">
      <ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>
{encoded}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>
    </md:KeyDescriptor>
    <md:SingleSignOnService Binding="{SAML}:bindings:HTTP-POST" Location="https://idp.example/sso"/>
  </md:IDPSSODescriptor>
</md:EntityDescriptor>
"""
    )
    return {"Metadata": str(path)}


def response(arguments):
    now = datetime.datetime.now(datetime.timezone.utc)
    at = lambda seconds: (now + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    attribute = lambda name, value: (
        f'<saml:Attribute Name="https://aws.amazon.com/SAML/Attributes/{name}"><saml:AttributeValue '
        f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xs="http://www.w3.org/2001/XMLSchema" '
        f'xsi:type="xs:string">{value}</saml:AttributeValue></saml:Attribute>'
    )
    text = f"""<samlp:Response xmlns:samlp="{SAML}:protocol" xmlns:saml="{SAML}:assertion" ID="_r1" Version="2.0"
      IssueInstant="{at(0)}" Destination="https://signin.aws.amazon.com/saml">
  <saml:Issuer>https://idp.example/saml</saml:Issuer>
  <samlp:Status><samlp:StatusCode Value="{SAML}:status:Success"/></samlp:Status>
  <saml:Assertion ID="{arguments.id}" Version="2.0" IssueInstant="{at(0)}">
    <saml:Issuer>https://idp.example/saml</saml:Issuer>
    <saml:Subject>
      <saml:NameID Format="{SAML}:nameid-format:persistent">anna &amp; co</saml:NameID>
      <saml:SubjectConfirmation Method="{SAML}:cm:bearer">
        <saml:SubjectConfirmationData NotOnOrAfter="{at(300)}" Recipient="https://signin.aws.amazon.com/saml"/>
      </saml:SubjectConfirmation>
    </saml:Subject>
    <saml:Conditions NotBefore="{at(-30)}" NotOnOrAfter="{at(300)}">
      <saml:AudienceRestriction><saml:Audience>urn:amazon:webservices</saml:Audience></saml:AudienceRestriction>
    </saml:Conditions>
    <saml:AuthnStatement AuthnInstant="{at(0)}" SessionNotOnOrAfter="{at(1800)}"/>
    <saml:AttributeStatement>{attribute("Role", f"{arguments.role},{arguments.principal}")}
      {attribute("RoleSessionName", "anna@acme")}</saml:AttributeStatement>
  </saml:Assertion>
</samlp:Response>"""
    document = etree.fromstring(text)
    key = load_key(arguments.folder / "idp.pem")
    signer = XMLSigner(
        method=methods.enveloped,
        signature_algorithm="ecdsa-sha256" if arguments.algorithm == "ES256" else "rsa-sha256",
        digest_algorithm="sha256",
        c14n_algorithm="http://www.w3.org/2001/10/xml-exc-c14n#",
    )
    certificate = (arguments.folder / "idp.crt").read_bytes()
    if arguments.signed in ("assertion", "both"):
        assertion = document.find(f"{{{SAML}:assertion}}Assertion")
        signed = signer.sign(assertion, key=key, cert=certificate, reference_uri=arguments.id)
        document.replace(assertion, signed)
    if arguments.signed in ("response", "both"):
        document = signer.sign(document, key=key, cert=certificate, reference_uri="_r1")
    octets = etree.tostring(document)
    if arguments.forge:
        octets = octets.replace(b"anna &amp; co", b"root")
    return base64.b64encode(octets).decode()


def saml(arguments):
    answer = sts(arguments, signature_version=UNSIGNED).assume_role_with_saml(
        RoleArn=arguments.role,
        PrincipalArn=arguments.principal,
        SAMLAssertion=response(arguments),
    )
    names = ("Subject", "SubjectType", "Issuer", "Audience", "NameQualifier")
    return {
        **{name: answer[name] for name in names},
        "Arn": answer["AssumedRoleUser"]["Arn"],
    }


COMMANDS = {
    "issuer": issuer,
    "token": token,
    "assume": assume,
    "by-itself": by_itself,
    "verify-ours": verify_ours,
    "metadata": metadata,
    "saml": saml,
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--sts")
    parser.add_argument("--verify")
    parser.add_argument("--issuer")
    parser.add_argument("--subject", default="repo:acme/app")
    parser.add_argument("--audience", default="bowline")
    parser.add_argument("--algorithm", default="RS256")
    parser.add_argument("--role")
    parser.add_argument("--principal")
    parser.add_argument("--id", default="_a1")
    parser.add_argument("--signed", default="assertion")
    parser.add_argument("--forge", action="store_true")
    arguments = parser.parse_args()
    try:
        answer = COMMANDS[arguments.command](arguments)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        print(json.dumps({**error.response["Error"], "Status": status}))
        return 1
    if answer is not None:
        print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
