"""Reads a process's settings from the environment once, and tells every fault at once."""

from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

S = TypeVar("S", bound="Settings")


class Settings(BaseSettings):
    """Base of every service's settings: frozen, read from `<SERVICE>_<NAME>`, empty values count as missing.

    Subclasses set `model_config = settings_config("EMBEDDER_")` and declare fields with units in their names.
    """


def settings_config(prefix: str) -> SettingsConfigDict:
    """Describe settings that are read from environment variables that begin with `prefix`."""
    return SettingsConfigDict(env_prefix=prefix, frozen=True, env_ignore_empty=True, extra="ignore")


class SettingsError(SystemExit):
    """One or more settings are missing or bad; the text lists all of them by environment variable."""


def load(kind: type[S]) -> S:
    """Read and check all settings of a service.

    Raises:
        SettingsError: With one line per missing or bad variable; secrets' values are not repeated.
    """
    try:
        return kind()
    except ValidationError as error:
        prefix = kind.model_config.get("env_prefix", "")
        lines = []
        for fault in error.errors(include_input=False, include_url=False):
            # What concerns several variables names them itself.
            name = f"{prefix}{'_'.join(str(part) for part in fault['loc'])}: ".upper() if fault["loc"] else ""
            lines.append(f"  {name}{fault['msg']}")
        raise SettingsError("bad settings:\n" + "\n".join(lines)) from None
