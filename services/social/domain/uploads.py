"""Files that people lend as seeds: theirs alone, and only for some days."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.social.domain import fields
from services.social.domain.ids import UploadId, UserId, is_new_id
from services.social.errors import Malformed
from services.social.errors.uploads import UploadQuotaReached

LONGEST_FILE_NAME = 255
LARGEST_BYTES = 2**50
QUOTA_PERIOD = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload whose bytes lie in the blob store under `digest`."""

    upload_id: UploadId
    user_id: UserId
    digest: bytes
    size_bytes: int
    content_type: str
    file_name: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Lent:
    """So many files with so many bytes."""

    count: int
    size_bytes: int


def left_of(quota: Lent, lent: Lent, size_bytes: int) -> Lent:
    """Return what a person may still lend within 24 hours, before a file of `size_bytes` is taken.

    Raises:
        UploadQuotaReached: Not that file.
    """
    if lent.count >= quota.count:
        raise UploadQuotaReached(lent.count, quota.count, "uploads")
    if lent.size_bytes + max(1, size_bytes) > quota.size_bytes:
        raise UploadQuotaReached(lent.size_bytes + size_bytes, quota.size_bytes, "bytes", "size_bytes")
    return Lent(quota.count - lent.count, quota.size_bytes - lent.size_bytes)


def rest_of(quota: Lent, lent: Lent) -> Lent:
    """Return what may still be lent: nothing where either bound is reached."""
    is_over = lent.count >= quota.count or lent.size_bytes >= quota.size_bytes
    return Lent(0, 0) if is_over else Lent(quota.count - lent.count, quota.size_bytes - lent.size_bytes)


@dataclass(frozen=True, slots=True)
class NewUpload:
    """A checked upload; `upload_id` is the one that the gateway chose, None where it chose none."""

    digest: bytes
    size_bytes: int
    content_type: str
    file_name: str
    upload_id: UploadId | None = None


def check_upload(digest: bytes, size_bytes: int, content_type: str, file_name: str, upload_id: str = "") -> NewUpload:
    """Check what the gateway says of an upload.

    Args:
        digest: SHA-256 of the bytes.
        size_bytes: Their number.
        content_type: By content.
        file_name: At the uploader's.
        upload_id: Empty where none was chosen yet.

    Raises:
        Missing, Malformed, OutOfRange: With the field.
    """
    return NewUpload(
        fields.digest(digest, "digest"),
        fields.integer(size_bytes, "size_bytes", 1, LARGEST_BYTES),
        fields.line(content_type, "content_type", longest=100, is_required=True),
        fields.line(file_name, "file_name", longest=LONGEST_FILE_NAME),
        _chosen(upload_id),
    )


def _chosen(upload_id: str) -> UploadId | None:
    if upload_id and not is_new_id(upload_id):
        raise Malformed("upload_id", upload_id, "a UUIDv7 in its canonical form")
    return UploadId(upload_id) if upload_id else None
