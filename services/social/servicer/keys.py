"""What requests about people have in common: who asks, whom it is about, and where a page starts."""

from datetime import UTC, datetime

from services.chassis.auth import viewer
from services.social.domain import paging
from services.social.domain.ids import UserId, is_id
from services.social.errors import Missing
from services.social.errors.people import UserNotFound
from services.social.store.database import FIRST_ID, LAST_ID

DEFAULT_PAGE, LARGEST_PAGE = 20, 100
# Below every id.
_LATEST = datetime(9999, 12, 31, tzinfo=UTC)


def viewer_id() -> UserId | None:
    """Return who looks; None for a guest, and for a job, which speaks for itself and not for its owner."""
    who = viewer()
    return UserId(who.user_id) if who is not None and who.is_person else None


def user_id(given: str) -> UserId:
    """Return the id of a person whom a request names.

    Raises:
        Missing: It names nobody.
        UserNotFound: Nobody can have this id.
    """
    if not given:
        raise Missing("user_id")
    if not is_id(given):
        raise UserNotFound(given)
    return UserId(given)


def page_size(requested: int) -> int:
    """Return how many items a page gets.

    Raises:
        OutOfRange: A negative size.
    """
    return paging.page_size(requested, DEFAULT_PAGE, LARGEST_PAGE)


def id_key(scope: str, token: str) -> str:
    """Return the id before which a page starts.

    Raises:
        Malformed: Not a token of this list.
    """
    key = paging.decode_token(scope, token, [is_id])
    return LAST_ID if key is None else str(key[0])


def time_key(scope: str, token: str, start: str = FIRST_ID) -> tuple[datetime, str]:
    """Return the time and the id after which a page starts.

    Args:
        scope: Which list.
        token: What the caller sent.
        start: FIRST_ID where ids of one time rise, LAST_ID where they fall.

    Raises:
        Malformed: Not a token of this list.
    """
    key = paging.decode_token(scope, token, [paging.is_time, is_id])
    return (_LATEST, start) if key is None else (datetime.fromisoformat(str(key[0])), str(key[1]))
