"""Who the `museed` command is: the operator of the mesh in the state folder, or whoever the environment names."""

import json
from pathlib import Path

from pydantic import SecretStr

from deploy.local.client import ClientError, Credentials, GatewayClient
from deploy.local.state import State
from deploy.local.tables import command
from services.chassis.settings import Settings, load, settings_config

OPERATOR = "operator"


class AccountSettings(Settings):
    """Who this is on a mesh elsewhere; the address makes the account where there is none yet."""

    model_config = settings_config("MUSEED_")

    url: str = ""
    login: str = ""
    password: SecretStr = SecretStr("")
    sign_up_email: str = ""

    @property
    def credentials(self) -> Credentials:
        """How to log in."""
        return Credentials(self.login, self.password.get_secret_value(), self.sign_up_email or None)


def operator(state: State) -> Credentials:
    """Return the operator's account, the first and so the admin of a mesh."""
    return Credentials(OPERATOR, state.secret("operator"), sign_up_email="operator@museed.localhost")


def connect(state_folder: Path) -> GatewayClient:
    """Open a client of the mesh at MUSEED_URL, or of the one that runs in the state folder.

    Logs in as MUSEED_LOGIN with MUSEED_PASSWORD, and signs up with MUSEED_SIGN_UP_EMAIL where that is set and nobody is
    called so yet; without them as the state folder's operator.

    Raises:
        ClientError: No mesh runs in the state folder and none is named.
    """
    folder = state_folder.expanduser()
    named = load(AccountSettings)
    url = named.url or _running_url(folder)
    if named.login:
        return GatewayClient(url, named.credentials)
    if (folder / "secrets.json").exists():
        return GatewayClient(url, operator(State.open(folder)))
    return GatewayClient(url, None)


def _running_url(folder: Path) -> str:
    try:
        found: dict[str, str] = json.loads((folder / "mesh.json").read_text())
    except FileNotFoundError:
        raise ClientError(
            f"no mesh runs in {folder.resolve()}. Start one with: make run, or {command('up')}\n"
            "One that runs elsewhere is named by MUSEED_URL, or its folder by --state."
        ) from None
    return found["url"]
