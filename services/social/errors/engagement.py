"""Refusals about likes and comments."""

from services.chassis.errors import NotFound, ResourceExhausted


class CommentNotFound(NotFound):
    """There is no such comment, or it is not this caller's to change."""

    default_reason = "COMMENT_NOT_FOUND"

    def __init__(self, comment_id: str) -> None:
        super().__init__("there is no such comment of yours", field="comment_id", value=comment_id)


class CommentQuotaReached(ResourceExhausted):
    """A person has written as many comments within an hour as one may."""

    default_reason = "COMMENT_QUOTA_REACHED"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} comments within an hour is the limit", value=limit, limit=limit, retry_after_ms=600_000
        )
