"""Refusals about sessions, and the API tokens that stand behind some of them."""

from services.chassis.errors import NotFound, PermissionDenied, ResourceExhausted, Unauthenticated


class SessionNotFound(NotFound):
    """There is no such session, or it is somebody else's."""

    default_reason = "SESSION_NOT_FOUND"

    def __init__(self, session_id: str) -> None:
        super().__init__("there is no such session of yours", field="session_id", value=session_id)


class SessionEnded(Unauthenticated):
    """The caller has left or is suspended, which ended their sessions, and this process has not heard of it yet."""

    default_reason = "SESSION_REVOKED"

    def __init__(self) -> None:
        super().__init__("the session has ended, log in again")


class ApiTokenNotFound(NotFound):
    """There is no such API token, or it is somebody else's."""

    default_reason = "API_TOKEN_NOT_FOUND"

    def __init__(self, token_id: str) -> None:
        super().__init__("there is no such API token of yours", field="token_id", value=token_id)


class ApiTokenRefused(Unauthenticated):
    """What was shown is no API token, or one that has expired or was revoked, and never which."""

    default_reason = "API_TOKEN_REFUSED"

    def __init__(self) -> None:
        super().__init__("this API token does not hold")


class TooManyApiTokens(ResourceExhausted):
    """A person has as many living API tokens as one may."""

    default_reason = "TOO_MANY_API_TOKENS"

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(f"{count} API tokens live, limit is {limit}", value=count, limit=limit)


class AdminScopeRefused(PermissionDenied):
    """Somebody who is no admin wants a token with an admin's rights."""

    def __init__(self) -> None:
        super().__init__("this needs the admin role", field="scopes", value="admin", limit="read, write")
