"""Refusals about people and what they are to each other.

DomainError
├── NotFound
│   └── UserNotFound          also who is suspended, has left, or blocks the caller
├── FailedPrecondition
│   ├── OwnAccount            following or blocking oneself
│   ├── UserBlocked           by the caller: who is blocked by another is told that there is no such thing
│   └── PageExpired           the ranking that a page belongs to is gone
└── ResourceExhausted
    ├── FollowLimitReached
    └── BlocklistFull
"""

from services.chassis.errors import FailedPrecondition, NotFound, ResourceExhausted


class UserNotFound(NotFound):
    """There is no such person, or not for this caller."""

    default_reason = "USER_NOT_FOUND"

    def __init__(self, person: str, field: str = "user_id") -> None:
        super().__init__("there is no such person", field=field, value=person)


class OwnAccount(FailedPrecondition):
    """Nobody follows or blocks themselves."""

    default_reason = "OWN_ACCOUNT"

    def __init__(self, user_id: str) -> None:
        super().__init__("this is your own account", field="user_id", value=user_id)


class UserBlocked(FailedPrecondition):
    """The caller blocks this person, or whose playlist it is; nobody is told that another blocks them."""

    default_reason = "USER_BLOCKED"

    def __init__(self, value: str, field: str = "user_id") -> None:
        super().__init__("you block this person: unblock them first", field=field, value=value)


class PageExpired(FailedPrecondition):
    """The ranking that a page belongs to is gone."""

    default_reason = "PAGE_EXPIRED"

    def __init__(self, token: str) -> None:
        super().__init__("this ranking is over, start again without a token", field="page_token", value=token[:40])


class FollowLimitReached(ResourceExhausted):
    """The caller follows as many people as one can."""

    default_reason = "FOLLOW_LIMIT_REACHED"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"you follow {limit} people, limit is {limit}: unfollow somebody first",
            field="user_id",
            value=limit,
            limit=limit,
        )


class BlocklistFull(ResourceExhausted):
    """The caller blocks as many people as one can."""

    default_reason = "BLOCKLIST_FULL"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"you block {limit} people, limit is {limit}: unblock somebody first",
            field="user_id",
            value=limit,
            limit=limit,
        )
