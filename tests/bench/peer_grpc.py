"""Round trips by grpc.aio under mutual TLS: `peer_grpc.py server FOLDER` and `peer_grpc.py client FOLDER`.

Payloads are raw bytes without any (de)serialiser, which is the best that gRPC can do.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def make_keys(folder: Path) -> None:
    """A P-256 key and self-signed certificate for each side (gRPC's TLS library takes no Ed25519 certificates)."""
    for name in ("server", "client"):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        today = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(today - datetime.timedelta(days=1))
            .not_valid_after(today + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        secret = folder / f"{name}.key"
        secret.touch(0o600)
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )


def say(answer: Any) -> None:
    print(json.dumps(answer), flush=True)


async def lines() -> AsyncIterator[dict[str, Any]]:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield json.loads(line)


async def unary(data: bytes, context: Any) -> bytes:
    return data


async def talk(stream: Any, context: Any) -> None:
    async for data in stream:
        await context.write(data)


async def serve(folder: Path) -> None:
    server = grpc.aio.server(options=OPTIONS)
    methods = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Talk": grpc.stream_stream_rpc_method_handler(talk),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench", methods),))
    pair = ((folder / "server.key").read_bytes(), (folder / "server.pem").read_bytes())
    trusted = (folder / "client.pem").read_bytes()
    credentials = grpc.ssl_server_credentials([pair], trusted, require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    async for _ in lines():
        say({"port": port})


async def ping(folder: Path) -> None:
    asked = lines()
    first = await anext(asked)
    credentials = grpc.ssl_channel_credentials(
        *((folder / name).read_bytes() for name in ("server.pem", "client.key", "client.pem"))
    )
    options = [*OPTIONS, ("grpc.ssl_target_name_override", "server")]
    async with grpc.aio.secure_channel(f"127.0.0.1:{first['port']}", credentials, options) as channel:
        call = channel.unary_unary("/bench/Unary")
        stream = channel.stream_stream("/bench/Talk")()
        say({"ready": True})
        async for question in asked:
            data = bytes(range(256)) * (question["size"] // 256)
            took = []
            for _ in range(question["trips"]):
                began = time.perf_counter()
                if question["way"] == "unary":
                    back = await call(data)
                else:
                    await stream.write(data)
                    back = await stream.read()
                took.append(time.perf_counter() - began)
            assert back == data
            say({"median": statistics.median(took)})


if __name__ == "__main__":
    role = {"server": serve, "client": ping}[sys.argv[1]]
    asyncio.run(role(Path(sys.argv[2])))
