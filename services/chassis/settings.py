"""Reads a process's settings from the environment once, and tells every fault at once.

What the environment does not set may lie in a file of the variable's name in /run/secrets, where containers find what
no environment should show.
"""

import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

S = TypeVar("S", bound="Settings")

# A name, an IPv4 address, or an IPv6 address in brackets, and a port.
_HOST_AND_PORT = re.compile(r"(?:\[[0-9A-Za-z:.%]+\]|[^\s:/\[\]]+):([0-9]{1,5})")
_MAX_PORT = 65_535
SECRETS_FOLDER = Path("/run/secrets")


def _checked_listen(text: str) -> str:
    found = _HOST_AND_PORT.fullmatch(text)
    if found is None or int(found[1]) > _MAX_PORT:
        raise PydanticCustomError(
            "listen",
            "{value} is no address to listen on: give host:port with a port from 0 to {max_port}",
            {"value": repr(text[:200]), "max_port": _MAX_PORT},
        )
    return text


def _checked_if_given(text: str) -> str:
    return _checked_listen(text) if text else text


# Where a process listens, "host:port"; port 0 picks a free one. gRPC itself would take 99999 for 34463.
Listen = Annotated[str, AfterValidator(_checked_listen)]
# The same of a door that may stay shut: empty does not listen.
OptionalListen = Annotated[str, AfterValidator(_checked_if_given)]


class _SecretFiles(SecretsSettingsSource):
    """Files of a folder; an empty one counts as missing, as an empty variable does."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return a field's value, its key, and whether it is to be parsed."""
        value, key, is_complex = super().get_field_value(field, field_name)
        return value or None, key, is_complex


class Settings(BaseSettings):
    """Base of every service's settings: frozen, read from `<SERVICE>_<NAME>`, empty values count as missing.

    Subclasses set `model_config = settings_config("EMBEDDER_")` and declare fields with units in their names.
    """

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Say what is read, and what goes before what."""
        assert isinstance(file_secret_settings, SecretsSettingsSource)
        return init_settings, env_settings, _SecretFiles(settings_cls, file_secret_settings.secrets_dir)


def settings_config(prefix: str) -> SettingsConfigDict:
    """Describe settings that are read from environment variables that begin with `prefix`."""
    return SettingsConfigDict(
        env_prefix=prefix, frozen=True, env_ignore_empty=True, extra="ignore", allow_inf_nan=False
    )


class SettingsError(SystemExit):
    """One or more settings are missing or bad; the text lists all of them by environment variable."""


def load(kind: type[S], secrets_folder: Path = SECRETS_FOLDER) -> S:
    """Read and check all settings of a service.

    Args:
        kind: Which.
        secrets_folder: Files named like variables, for what the environment does not set; it need not exist.

    Raises:
        SettingsError: With one line per missing or bad variable, or with the file that cannot be read; secrets' values
            are not repeated.
    """
    try:
        # Given by name alone: pydantic warns of a folder that is not there.
        return kind(_secrets_dir=secrets_folder) if secrets_folder.is_dir() else kind()
    except PermissionError as error:
        raise SettingsError(f"bad settings:\n  {error.filename}: {error.strerror}") from error
    except ValidationError as error:
        prefix = kind.model_config.get("env_prefix", "")
        lines = []
        for fault in error.errors(include_input=False, include_url=False):
            # What concerns several variables names them itself.
            name = f"{prefix}{'_'.join(str(part) for part in fault['loc'])}: ".upper() if fault["loc"] else ""
            lines.append(f"  {name}{_told(kind, fault)}")
        raise SettingsError("bad settings:\n" + "\n".join(lines)) from None


def _told(kind: type[Settings], fault: ErrorDetails) -> str:
    """Return what is wrong in words: a field that has a pattern says in its description what it stands for."""
    field = kind.model_fields.get(str(fault["loc"][0])) if fault["loc"] else None
    if fault["type"] == "string_pattern_mismatch" and field is not None and field.description:
        return f"must be {field.description}"
    return fault["msg"].removeprefix("Value error, ")
