"""Playlists: who may open one, and how edits meet."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.chassis.errors import Aborted, FailedPrecondition, InvalidArgument
from services.social.domain.ids import EncoderId, PlaylistId, UserId
from services.social.domain.playlists import Edit, Playlist, Visibility, check_edit, edited

THEN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 1, 2, tzinfo=UTC)
PLAYLIST = Playlist(
    PlaylistId("p"), UserId("owner"), "Title", "Text", Visibility.PRIVATE, EncoderId("e"), 7, 3, 180.0, THEN, THEN
)


def test_edit_changes_what_it_names_and_raises_the_version() -> None:
    assert edited(PLAYLIST, Edit(7, "New", None, None), NOW) == replace(
        PLAYLIST, title="New", version=8, updated_at=NOW
    )
    assert edited(PLAYLIST, Edit(7, None, "", Visibility.PUBLIC), NOW) == replace(
        PLAYLIST, description="", visibility=Visibility.PUBLIC, version=8, updated_at=NOW
    )


def test_what_is_so_already_stays_whatever_the_version() -> None:
    for version in (1, 7, 9):
        assert edited(PLAYLIST, Edit(version, "Title", None, Visibility.PRIVATE), NOW) is PLAYLIST
        assert edited(PLAYLIST, Edit(version, None, None, None), NOW) is PLAYLIST


def test_edit_of_another_version_is_a_conflict() -> None:
    with pytest.raises(Aborted) as refusal:
        edited(PLAYLIST, Edit(6, "New", None, None), NOW)
    assert refusal.value.reason == "VERSION_CONFLICT"
    assert (refusal.value.field, refusal.value.value, refusal.value.limit) == ("version", "6", "7")


@pytest.mark.parametrize(
    ("version", "title", "description", "field"),
    [
        (0, None, None, "version"),
        (1, "", None, "title"),
        (1, "t" * 201, None, "title"),
        (1, None, "d" * 2_001, "description"),
    ],
)
def test_wrong_edit_names_its_field(version: int, title: str | None, description: str | None, field: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        check_edit(version, title, description, None)
    assert refusal.value.field == field


def test_description_keeps_its_lines() -> None:
    assert check_edit(1, " A\nB ", "one\r\ntwo\x00", None) == Edit(1, "A B", "one\ntwo", None)


def test_what_moderation_hid_is_not_shown_again_by_its_owner() -> None:
    hidden = replace(PLAYLIST, is_hidden=True)
    assert edited(hidden, Edit(7, "New", None, Visibility.PRIVATE), NOW).title == "New"
    for shown in (Visibility.PUBLIC, Visibility.UNLISTED):
        with pytest.raises(FailedPrecondition) as refusal:
            edited(hidden, Edit(7, None, None, shown), NOW)
        assert refusal.value.reason == "PLAYLIST_HIDDEN"
