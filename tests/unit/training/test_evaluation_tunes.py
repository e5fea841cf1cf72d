"""Which pieces are one tune, on made-up tracks and on the catalogue."""

from training.catalogue import Track, read_catalogue
from training.evaluation.tunes import find_tunes, kept_tracks, normalise


def track(path: str, *, title: str = "", group: str = "game", family: str = "metal", seconds: float = 100.0) -> Track:
    return Track(path, group, family, "tag", title, "", "", seconds)


def merged(*tracks: Track) -> list[list[str]]:
    return [[tune.kept.path, *(other.path for other in tune.merged)] for tune in find_tunes(tracks)]


def test_names_are_compared_without_what_marks_a_version() -> None:
    assert normalise("Humanitarian v2 - The Box") == "humanitarian"
    assert normalise("track3_enhanced") == normalise("Track 3") == "track3"
    assert normalise("Internal Degeneration (fof guitar)") == "internaldegeneration"
    assert normalise("The Cave (Milestone 2 Version)") == "thecave"
    assert normalise("Old") == "old"
    assert normalise("Gameplay 3") != normalise("Gameplay 4")
    assert normalise("Loopy") == "loopy"
    assert normalise("음악 v2") == "음악"


def test_stems_are_one_tune_and_the_fullest_speaks_for_it() -> None:
    assert merged(track("g/chaos/guitar.ogg"), track("g/chaos/song.ogg")) == [
        ["g/chaos/song.ogg", "g/chaos/guitar.ogg"]
    ]


def test_same_stems_in_other_folders_are_other_tunes() -> None:
    assert merged(track("g/chaos/song.ogg"), track("g/order/song.ogg")) == [["g/chaos/song.ogg"], ["g/order/song.ogg"]]


def test_same_title_in_another_group_is_another_tune() -> None:
    assert len(merged(track("g/a.ogg", title="Frantic"), track("g/b.ogg", title="Frantic", group="other"))) == 2


def test_a_title_that_many_pieces_share_is_not_their_name() -> None:
    caves = [track(f"g/{name}.ogg", title="Living Caves") for name in ("hell", "jungle", "motion", "desert")]
    assert len(merged(*caves)) == 4
    assert len(merged(*caves[:3])) == 1
    assert len(find_tunes(caves[:3], caves)) == 3  # that one is not there makes no title of it


def test_a_labelled_piece_is_kept_then_the_longest() -> None:
    assert merged(track("g/a.ogg", title="A", family="ambient", seconds=900), track("g/b.ogg", title="A v2")) == [
        ["g/b.ogg", "g/a.ogg"]
    ]
    assert merged(track("g/a.ogg", title="A", seconds=80), track("g/b.ogg", title="A v2", seconds=90)) == [
        ["g/b.ogg", "g/a.ogg"]
    ]


def test_catalogue_has_eleven_merged_pieces_and_126_labelled_tunes() -> None:
    tunes = find_tunes(read_catalogue())
    assert sorted(piece.path.split("/", 1)[0] for tune in tunes for piece in tune.merged) == [
        "colobot-common-sounds",
        *["fretsonfire-songs-muldjord"] * 4,
        *["fretsonfire-songs-sectoid"] * 4,
        *["warzone2100-music"] * 2,
    ]
    assert sum(kept.is_labelled for kept in kept_tracks(tunes)) == 126
    assert sum(one.is_labelled for one in read_catalogue()) == 136
