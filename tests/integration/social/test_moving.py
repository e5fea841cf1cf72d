"""What a second look at a folder finds: moved, written again, back again; ids and vectors stay where they belong."""

import itertools

from museed.social.v1 import catalog_pb2
from tests.integration.social.conftest import Client, Library, Sql, registration, sha, until

CREATED = catalog_pb2.REGISTRATION_OUTCOME_CREATED
UNCHANGED = catalog_pb2.REGISTRATION_OUTCOME_UNCHANGED
RETAGGED = catalog_pb2.REGISTRATION_OUTCOME_RETAGGED
REPLACED = catalog_pb2.REGISTRATION_OUTCOME_REPLACED
MOVED = catalog_pb2.REGISTRATION_OUTCOME_MOVED
INDEXED = catalog_pb2.EMBEDDING_STATE_INDEXED


def at(path: str, name: str, previous: str = "", **more: object) -> catalog_pb2.TrackRegistration:
    return registration(name, relative_path=path.encode(), previous_path=previous.encode(), **more)


async def paths(sql: Sql) -> dict[str, str]:
    rows = await sql.fetch("SELECT track_id, relative_path FROM tracks")
    return {row["relative_path"].decode(): str(row["track_id"]) for row in rows}


async def test_moved_file_keeps_its_track_and_its_vector(social: Client, library: Library, sql: Sql) -> None:
    old = library.track_ids[0]
    before = await paths(sql)
    (moved,) = await social.register(
        library.admin, library.root_id, [at("New/first.ogg", "Track 0", previous="Track 0.ogg")]
    )
    assert (moved.outcome, moved.track_id) == (MOVED, old)
    after = await paths(sql)
    assert after == {path: each for path, each in before.items() if each != old} | {"New/first.ogg": old}
    assert await sql.fetchval("SELECT count(*) FROM embedding_work") == 0

    async def is_told() -> bool:
        return (await social.track(old)).embedding_state == INDEXED

    await until(is_told)
    version = await sql.fetchval("SELECT version FROM track_embeddings WHERE track_id = $1", old)
    assert version == 3  # embedded, then told of its new folder
    (again,) = await social.register(
        library.admin, library.root_id, [at("New/first.ogg", "Track 0", previous="Track 0.ogg")]
    )
    assert (again.outcome, again.track_id) == (UNCHANGED, old)


async def test_files_that_change_places_keep_their_tracks(social: Client, library: Library, sql: Sql) -> None:
    first, second, third = library.track_ids[:3]
    found = await social.register(
        library.admin,
        library.root_id,
        [
            at("Track 1.ogg", "Track 0", previous="Track 0.ogg"),
            at("Track 2.ogg", "Track 1", previous="Track 1.ogg"),
            at("Track 0.ogg", "Track 2", previous="Track 2.ogg"),
        ],
    )
    assert [(one.outcome, one.track_id) for one in found] == [(MOVED, first), (MOVED, second), (MOVED, third)]
    after = await paths(sql)
    assert [after[f"Track {number}.ogg"] for number in (1, 2, 0)] == [first, second, third]
    assert len(after) == len(library.track_ids)


async def test_file_that_was_tagged_anew_on_its_way_keeps_its_track_and_its_vector(
    social: Client, library: Library, sql: Sql
) -> None:
    old = library.track_ids[0]
    vectors = await sql.fetchval("SELECT count(*) FROM embeddings")
    again = at("New/first.ogg", "Track 0", previous="Track 0.ogg", title="Other", file_hash=sha("other bytes"))
    (moved,) = await social.register(library.admin, library.root_id, [again])
    assert (moved.outcome, moved.track_id) == (MOVED, old)
    assert (await social.track(old)).title == "Other"
    assert await sql.fetchval("SELECT count(*) FROM embeddings") == vectors
    assert await sql.fetchval("SELECT count(*) FROM embedding_work") == 0


async def test_long_chain_of_moves_is_one_step_each(social: Client, library: Library, sql: Sql) -> None:
    """Each file takes the place of the one before; the first finds its place taken, and so all stay."""
    names = [f"chain {number:03}" for number in range(500)]
    root_id = await social.register_root(library.admin, "/chain")
    await social.register(library.admin, root_id, [at(f"{name}.ogg", name) for name in [*names[1:], "taken"][:500]])
    moves = [at(f"{a}.ogg", b, previous=f"{b}.ogg") for a, b in itertools.pairwise(["taken", *names[1:]])]
    answers = await social.register(library.admin, root_id, moves)
    assert len(answers) == 499
    assert {one.outcome for one in answers} == {REPLACED}


async def test_what_is_no_move_is_a_new_track(social: Client, library: Library, sql: Sql) -> None:
    other_root = await social.register_root(library.admin, "/other")
    before = await paths(sql)
    (elsewhere,) = await social.register(library.admin, other_root, [at("a.ogg", "Track 0", previous="Track 0.ogg")])
    found = await social.register(
        library.admin,
        library.root_id,
        [
            at("b.ogg", "Track 1", previous="Track 1.ogg", audio_hash=sha("other audio")),
            at("c.ogg", "Track 2", previous="nowhere.ogg"),
            # A copy: the file is still there.
            at("d.ogg", "Track 3", previous="Track 3.ogg"),
            registration("Track 3"),
            # Two cannot both have been one file.
            at("e.ogg", "Track 4", previous="Track 4.ogg"),
            at("f.ogg", "Track 4", previous="Track 4.ogg"),
            # Over another file: that one's track has other audio now.
            at("Track 5.ogg", "Track 0", previous="Track 0.ogg"),
        ],
    )
    assert elsewhere.outcome == CREATED
    assert [one.outcome for one in found] == [CREATED, CREATED, CREATED, UNCHANGED, MOVED, CREATED, REPLACED]
    after = await paths(sql)
    assert {path: after[path] for path in before if path != "Track 4.ogg"} == {
        path: before[path] for path in before if path != "Track 4.ogg"
    }
    assert after["e.ogg"] == before["Track 4.ogg"]


async def test_particulars_are_kept_and_nobody_is_told(social: Client, library: Library, sql: Sql) -> None:
    track_id = library.track_ids[0]
    said = {
        "sub_genres": ["Indie", "Post-Rock"],
        "tags": ["live"],
        "isrc": "KRA381001057",
        "musicbrainz_recording_id": "0f5ab3c4-6a3c-4d3c-9f6e-0d1c3b8f5b11",
        "licence": "CC BY 4.0",
        "source": "folder",
        "mtime_ns": 12_345,
    }
    (first,) = await social.register(library.admin, library.root_id, [registration("Track 0", **said)])
    assert (first.outcome, first.track_id) == (RETAGGED, track_id)
    row = await sql.fetchrow("SELECT * FROM tracks WHERE track_id = $1", track_id)
    assert row is not None
    assert (row["sub_genres"], row["source_tags"]) == (["Indie", "Post-Rock"], ["live"])
    assert (row["isrc"], str(row["musicbrainz_recording_id"])) == (said["isrc"], said["musicbrainz_recording_id"])
    assert (row["licence"], row["source"], row["mtime_ns"]) == ("CC BY 4.0", "folder", 12_345)
    assert await sql.fetchval("SELECT version FROM track_embeddings WHERE track_id = $1", track_id) == 2


async def test_file_that_was_written_again_or_is_back_is_unchanged(social: Client, library: Library, sql: Sql) -> None:
    track_id = library.track_ids[0]
    await sql.execute("UPDATE tracks SET missing_since = now(), mtime_ns = 1 WHERE track_id = $1", track_id)
    for mtime_ns, kept in ((2, 2), (0, 2)):
        (seen,) = await social.register(library.admin, library.root_id, [registration("Track 0", mtime_ns=mtime_ns)])
        assert (seen.outcome, seen.track_id) == (UNCHANGED, track_id)
        row = await sql.fetchrow("SELECT missing_since, mtime_ns FROM tracks WHERE track_id = $1", track_id)
        assert row is not None
        assert tuple(row) == (None, kept)
