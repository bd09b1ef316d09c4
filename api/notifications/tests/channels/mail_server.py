"""An SMTP server (aiosmtpd) that asks for STARTTLS and a password, and prints each message as a line of JSON.

Arguments: port, certificate, key. Recipients: `nobody@` is unknown, `busy@` greylisted, `policy@` refused as spam; after a
message to `last@` the connection is closed, which prints `closed`.
"""

import asyncio
import base64
import json
import ssl
import sys
from email import message_from_bytes, policy

from aiosmtpd.smtp import SMTP, AuthResult

CONNECTIONS = 0


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return f"550 5.1.1 <{address}>: User unknown"
        if address.startswith("busy@"):
            return "450 4.7.1 greylisted, come again"
        if address.startswith("policy@"):
            return "554 5.7.1 looks like spam"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        message = message_from_bytes(envelope.original_content, policy=policy.default)
        told = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": session.ssl is not None,
            "user": session.auth_data.decode() if session.auth_data else None,
            "connection": server.number,
            "headers": [[name, str(value)] for name, value in message.items()],
            "text": message.get_body(("plain",)).get_content(),
            "html": message.get_body(("html",)).get_content() if message.is_multipart() else None,
            "enclosed": [
                [part.get_filename(), part.get_content_type(), base64.b64encode(part.get_content()).decode()]
                for part in message.iter_attachments()
            ],
        }
        print(json.dumps(told), flush=True)
        if envelope.rcpt_tos[0].startswith("last@"):
            asyncio.get_running_loop().call_later(0.1, close, server.transport)
        return "250 OK"

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        global CONNECTIONS
        # EHLO is said anew over TLS.
        if not hasattr(server, "number"):
            CONNECTIONS += 1
            server.number = CONNECTIONS
        session.host_name = hostname
        return responses


def close(transport):
    transport.close()
    print("closed", flush=True)


def authenticate(server, session, envelope, mechanism, data):
    good = data.login == b"clinic" and data.password == b"s3cret"
    return AuthResult(success=good, handled=good, auth_data=data.login if good else None)


async def main():
    port, certificate, key = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def smtp():
        return SMTP(
            Handler(),
            tls_context=context,
            require_starttls=True,
            auth_required=True,
            authenticator=authenticate,
            enable_SMTPUTF8=True,
        )

    server = await asyncio.get_running_loop().create_server(smtp, "127.0.0.1", int(port))
    print("ready", flush=True)
    await server.serve_forever()


asyncio.run(main())
