"""Mails that a social process wrote to a folder, and the calls that send them."""

import re
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

from pydantic import SecretStr

from museed.social.v1 import accounts_pb2, sessions_pb2, sessions_pb2_grpc
from services.chassis.errors import Unauthenticated
from tests.conftest import free_port
from tests.integration.social.conftest import TIMEOUT_S, Client, Mesh, Person, until


@dataclass(frozen=True)
class Mailbox:
    """The folder that a mesh sends its mails to."""

    folder: Path

    @classmethod
    def of(cls, mesh: Mesh, folder: Path) -> "Mailbox":
        """Make a mesh that is not started yet send its mails to a folder."""
        mesh.settings = mesh.settings.model_copy(update={"mail_url": SecretStr(f"file://{folder}")})
        return cls(folder)

    def mails(self, address: str = "", subject: str = "") -> list[EmailMessage]:
        """Return the mails to an address, oldest first."""
        files = sorted(self.folder.glob("*.eml"))
        found = [message_from_bytes(file.read_bytes(), policy=default) for file in files]
        return [one for one in found if address in one["To"] and subject in one["Subject"]]

    async def mail(self, address: str, subject: str, number: int = 1) -> EmailMessage:
        """Wait for the n-th mail with a subject to an address."""
        await until(lambda: len(self.mails(address, subject)) >= number)
        return self.mails(address, subject)[number - 1]

    async def token(self, address: str, subject: str, number: int = 1) -> str:
        """Wait for a mail with a link, and return the link's token."""
        found = re.search(r"#token=(\S+)", (await self.mail(address, subject, number)).get_content())
        assert found is not None
        return found[1]


async def second_process(mesh: Mesh) -> Client:
    """Start another social process of the same mesh."""
    mesh.settings = mesh.settings.model_copy(update={"listen": f"127.0.0.1:{free_port()}"})
    return await mesh.start()


def credentials(client: Client) -> "sessions_pb2_grpc.CredentialServiceAsyncStub":
    return client.stub(sessions_pb2_grpc.CredentialServiceStub)


async def log_in(client: Client, login: str, password: str) -> Person:
    request = accounts_pb2.LogInRequest(login=login, password=password)
    answer = await client.accounts.LogIn(request, timeout=TIMEOUT_S)
    user = answer.viewer.user
    return Person(user.user_id, user.username, password, answer.tokens.access_token, answer.tokens.refresh_token)


async def view(client: Client, who: Person) -> accounts_pb2.Viewer:
    request = accounts_pb2.GetViewerRequest()
    return (await client.accounts.GetViewer(request, timeout=TIMEOUT_S, metadata=who.metadata)).viewer


async def ask_reset(client: Client, email: str) -> None:
    request = sessions_pb2.RequestPasswordResetRequest(email=email)
    await credentials(client).RequestPasswordReset(request, timeout=TIMEOUT_S)


async def reset(client: Client, token: str, password: str) -> None:
    request = sessions_pb2.ResetPasswordRequest(token=token, new_password=password)
    await credentials(client).ResetPassword(request, timeout=TIMEOUT_S)


async def until_ended(client: Client, who: Person) -> None:
    """Wait until a process refuses an access token; how often it asks: tests/unit/chassis/test_revocations.py."""

    async def is_over() -> bool:
        try:
            await view(client, who)
        except Unauthenticated as error:
            return error.reason == "SESSION_REVOKED"
        return False

    await until(is_over)
