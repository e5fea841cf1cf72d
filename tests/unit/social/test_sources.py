"""Parsers of sources: the layouts that sources really have, and that nothing stops them or gets lost."""

import io
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.social.domain.genres import GENRES
from services.social.sources import fma, genre_maps, jamendo, manifest, rows, vectors
from services.social.sources.rows import LeftOut, Reason, SourceError, SourceTrack

GENRES_CSV = """genre_id,#tracks,parent,title,top_level
1,8693,38,Avant-Garde,38
2,5271,0,International,2
12,32923,0,Rock,12
15,34413,0,Electronic,15
21,12730,0,Hip-Hop,21
25,9261,12,Punk,12
38,38154,0,Experimental,38
42,7268,15,"Ambient, Electronic",15
"""
GROUPS = ",album,album,artist,set,set,track,track,track,track,track,track"
NAMES = ",date_released,title,name,split,subset,date_recorded,genre_top,genres,license,tags,title"
INDEX = "track_id,,,,,,,,,,,"
HEAD = f"{GROUPS}\n{NAMES}\n{INDEX}\n"


def tracks(text: str, subset: str = "full") -> list[SourceTrack | LeftOut]:
    genres = fma.read_genres(io.BytesIO(GENRES_CSV.encode()))
    return list(fma.read_tracks(io.BytesIO(text.encode()), genres, subset))


def test_fma_rows_become_tracks_and_what_is_missing_is_said() -> None:
    text = HEAD + (
        "2,2009-01-05 00:00:00,AWOL - A Way Of Life,AWOL,training,small,,Hip-Hop,[21],CC BY-NC-SA,"
        "\"['rap', 'x']\",Food\r\n"
        '155320,,"Two\nlines",Somebody,test,full,2014-02-02 00:00:00,,"[1, 25, 12]",,[],"He said ""hi"", twice"\n'
        "5,,Album,Artist,training,large,,,[],,[],Nothing known\n"
        "6,,Album,,training,full,,Rock,[12],,[],No artist\n"
        "x,,Album,Artist,training,full,,Rock,[12],,[],No number\n"
        "7,short\n"
    )
    first, second, *left_out = tracks(text)
    assert first == SourceTrack(
        path="000/000002.mp3",
        source="fma",
        title="Food",
        artist="AWOL",
        album="AWOL - A Way Of Life",
        raw_genre="Hip-Hop",
        genre="Hip-Hop",
        tags=("rap", "x"),
        year=2009,
        licence="CC BY-NC-SA",
    )
    assert isinstance(second, SourceTrack)
    assert (second.path, second.title, second.album) == ("155/155320.mp3", 'He said "hi", twice', "Two lines")
    # Two of its genres are Rock, one is Experimental.
    assert (second.genre, second.sub_genres, second.year) == ("Rock", ("Avant-Garde", "Punk"), 2014)
    assert left_out == [
        LeftOut("000/000005.mp3", Reason.METADATA_MISSING, "tracks.csv says no genre"),
        LeftOut("000/000006.mp3", Reason.METADATA_MISSING, "tracks.csv says no artist"),
        LeftOut("row 8", Reason.ROW_INVALID, "12 columns; 12 and a track id are expected"),
        LeftOut("row 9", Reason.ROW_INVALID, "2 columns; 12 and a track id are expected"),
    ]


def test_fma_subsets_hold_those_before_them() -> None:
    names = ("small", "medium", "large", "full")
    text = HEAD + "".join(f"{n},,A,B,training,{name},,Rock,[12],,[],T\n" for n, name in enumerate(names, start=1))
    for count, subset in enumerate(names, start=1):
        found = tracks(text, subset)
        assert [isinstance(one, SourceTrack) for one in found] == [n < count for n in range(4)]
    assert {one.reason for one in tracks(text, "small")[1:] if isinstance(one, LeftOut)} == {Reason.OUTSIDE_SUBSET}


def test_fma_field_without_end_takes_no_more_than_its_limit() -> None:
    good = "3,,A,B,training,full,,Rock,[12],,[],T\n"
    bomb = '2,,"' + ("x" * 1000 + "\n") * 1100
    found = tracks(HEAD + bomb + good)
    assert isinstance(found[-1], SourceTrack)
    assert isinstance(found[0], LeftOut)
    assert found[0].reason is Reason.ROW_INVALID
    deep = HEAD + f"2,,A,B,training,full,,Rock,{'[' * 5000},,{'(' * 5000},T\n"
    assert isinstance(tracks(deep)[0], SourceTrack)
    assert [type(one) for one in tracks(HEAD + good + "x" * 3_000_000 + "\n" + good)] == [
        SourceTrack,
        LeftOut,
        SourceTrack,
    ]


@pytest.mark.parametrize("text", ["", "a,b\n", f"{GROUPS}\n{NAMES}\n", f"{NAMES}\n{GROUPS}\n{INDEX}\n"])
def test_other_files_are_no_fma(text: str) -> None:
    with pytest.raises(SourceError) as refused:
        tracks(text)
    assert refused.value.reason == "FMA_INVALID"
    with pytest.raises(SourceError):
        fma.read_genres(io.BytesIO(text.encode()))


def manifest_of(*lines_: object) -> list[SourceTrack | LeftOut]:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines_)
    return list(manifest.read_manifest(io.BytesIO(text.encode("utf-8", "surrogatepass"))).rows)


def test_manifest_has_its_own_genre_map() -> None:
    head = {"manifest": 1, "source": "melon", "root": "/srv", "genres": {"발라드": "Pop", "R & B": "soul-rnb"}}
    row = {
        "path": "a/좋은 날.flac",
        "title": "좋은 날\n",
        "genre": ["미지", "r&b"],
        "year": "2010-12-09",
        "tags": "아이유",
        "isrc": "KR-A30-10-00001",
        "sub_genres": ["dance pop"],
        "musicbrainz_artist_id": "B9545342-1E6D-4DAE-84AC-013374AD8D7C",
        "unknown": {"x": 1},
    }
    stream = io.BytesIO(b"\xef\xbb\xbf" + "\r\n".join(json.dumps(line) for line in (head, row)).encode())
    read = manifest.read_manifest(stream)
    assert read.head == manifest.Head("melon", "/srv", {genre_maps.key_of("발라드"): "Pop", "rb": "Soul-RnB"})
    assert list(read.rows) == [
        SourceTrack(
            path="a/좋은 날.flac",
            source="melon",
            title="좋은 날",
            raw_genre="미지; r&b",
            genre="Soul-RnB",
            sub_genres=("dance pop",),
            tags=("아이유",),
            year=2010,
            isrc="KRA301000001",
            musicbrainz_artist_id="b9545342-1e6d-4dae-84ac-013374ad8d7c",
        )
    ]


def test_manifest_lines_are_left_out_with_their_reason() -> None:
    found = manifest_of(
        {"path": "a.mp3"},
        "",
        "{",
        "[1]",
        {"title": "no path"},
        {"path": "../up.mp3"},
        {"path": "/etc/passwd"},
        {"path": "a//b"},
        {"path": "a\0b"},
        {"path": "x" * 5000},
        {"path": "\ud800.mp3"},
        {"path": "b.mp3", "year": "soon"},
        {"path": "b.mp3", "year": 10_000},
        {"path": "b.mp3", "year": True},
        {"path": "b.mp3", "title": 5},
        {"path": "b.mp3", "title": "t" * 501},
        {"path": "b.mp3", "tags": ["t"] * 51},
        {"path": "b.mp3", "isrc": "nonsense"},
        {"path": "b.mp3", "musicbrainz_recording_id": "nonsense"},
        {"path": "b.mp3", "musicbrainz_artist_id": "nonsense"},
        '{"path": "c.mp3", "title": "' + "t" * (1 << 20) + '"}',
        "[" * 100_000,
        '{"path": "d.mp3", "year": ' + "9" * 5_000 + "}",
    )
    assert isinstance(found[0], SourceTrack)
    assert [one.reason.value for one in found[1:] if isinstance(one, LeftOut)] == [
        "NOT_JSON",
        "ROW_INVALID",
        *["PATH_INVALID"] * 7,
        *["FIELD_INVALID"] * 9,
        "LINE_TOO_LONG",
        "NOT_JSON",
        "NOT_JSON",
    ]
    assert found[1] == LeftOut("line 3", Reason.NOT_JSON, "not JSON")
    wrong = manifest.read_manifest(io.BytesIO(b'{"path": "caf\xe9.mp3"}\n{"path": "a.mp3"}'))
    assert [type(one) for one in wrong.rows] == [LeftOut, SourceTrack]


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ({"manifest": 2}, "MANIFEST_INVALID"),
        ({"manifest": 1, "source": ""}, "MANIFEST_INVALID"),
        ({"manifest": 1, "root": 5}, "MANIFEST_INVALID"),
        ({"manifest": 1, "genres": []}, "MANIFEST_INVALID"),
        ({"manifest": 1, "genres": {"Trot": "Schlager"}}, "GENRE_MAP_INVALID"),
        ({"manifest": 1, "genres": {"": "Pop"}}, "GENRE_MAP_INVALID"),
        ({"manifest": 1, "genres": {"Trot": ["Pop"]}}, "GENRE_MAP_INVALID"),
    ],
)
def test_head_that_cannot_be_used_is_refused(head: object, reason: str) -> None:
    with pytest.raises(SourceError) as refused:
        manifest_of(head)
    assert refused.value.reason == reason


def test_jamendo_tags_are_mapped_as_the_product_says() -> None:
    table = {
        "Pop": "Pop|Indie|Pop-Rock|Dream Pop|Synthpop",
        "Rock": "Rock",
        "Electronic": "Electronic|House|Dance|Dubstep|Chillout|8bit",
        "Soul-RnB": "RnB|Soul|Funk",
        "Folk": "Folk",
        "Jazz": "Jazz",
        "Instrumental": "New Age|Film Score|newage|filmscore",
        "Experimental": "Ambient",
        "Hip-Hop": "Hip-Hop|hiphop",
        "Country": "Country",
    }
    for genre, names in table.items():
        assert {genre_maps.jamendo_genre([name]) for name in names.split("|")} == {genre}
    assert genre_maps.jamendo_genre([]) == genre_maps.jamendo_genre(["of no kind"]) == ""
    assert genre_maps.jamendo_genre(["of no kind", "punkrock", "pop"]) == "Rock"


TSV_HEAD = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\r\n"
META = (
    "TRACK_ID\tARTIST_ID\tALBUM_ID\tTRACK_NAME\tARTIST_NAME\tALBUM_NAME\tRELEASEDATE\tURL\r\n"
    "track_0000214\tartist_000014\talbum_000031\tName\tWho\tWhere\t2004-12-17\thttp://x\r\n"
)


def test_jamendo_tsv_is_ragged() -> None:
    text = (
        TSV_HEAD
        + "track_0000214\tartist_000014\talbum_000031\t14/214.mp3\t124.6\tgenre---punkrock\tgenre---pop"
        + "\tinstrument---guitar\tmood/theme---happy\r\n"
        + "track_0000215\tartist_000014\talbum_000031\t15/215.mp3\t151.4\r\n"
        + "track_0000216\tshort\r\n"
        + "track_0000217\ta\tb\t../../etc/passwd\t1\tgenre---pop\r\n"
    )
    meta = jamendo.read_meta(io.BytesIO(META.encode()))
    first, bare, short, climbing = jamendo.read_tsv(io.BytesIO(text.encode()), meta, is_low=True)
    assert first == SourceTrack(
        path="14/214.low.mp3",
        source="jamendo",
        title="Name",
        artist="Who",
        album="Where",
        raw_genre="punkrock; pop",
        genre="Rock",
        sub_genres=("punkrock", "pop"),
        tags=("guitar", "happy"),
        year=2004,
    )
    assert bare == SourceTrack(path="15/215.low.mp3", source="jamendo")
    assert isinstance(short, LeftOut)
    assert isinstance(climbing, LeftOut)
    assert (short.reason, climbing.reason) == (Reason.ROW_INVALID, Reason.PATH_INVALID)
    for read in (jamendo.read_meta, jamendo.read_tsv):
        with pytest.raises(SourceError):
            list(read(io.BytesIO(b"TRACK_ID\tother\n")))


RESULT = {
    "id": "1214",
    "name": "Name",
    "duration": 200,
    "artist_name": "Who",
    "album_name": "Where",
    "releasedate": "2009-02-01",
    "license_ccurl": "http://creativecommons.org/licenses/by/3.0/",
    "audiodownload": "https://prod-1.storage.jamendo.com/x",
    "musicinfo": {"tags": {"genres": ["synthpop"], "instruments": ["piano"], "vartags": ["party"]}},
}


def test_jamendo_json_is_an_answer_a_list_or_lines() -> None:
    expected = SourceTrack(
        path="14/1214.mp3",
        source="jamendo",
        title="Name",
        artist="Who",
        album="Where",
        raw_genre="synthpop",
        genre="Pop",
        sub_genres=("synthpop",),
        tags=("piano", "party"),
        year=2009,
        licence="http://creativecommons.org/licenses/by/3.0/",
    )
    answer = {"headers": {"status": "success"}, "results": [RESULT]}
    for text in (
        json.dumps(answer),
        json.dumps(answer, indent=2),
        json.dumps([RESULT]),
        json.dumps([RESULT], indent=1),
        "\n" + json.dumps(RESULT),
    ):
        assert list(jamendo.read_json(io.BytesIO(text.encode()))) == [expected]
    mixed = "\n".join((json.dumps(RESULT), "", "{nonsense", json.dumps(answer), '{"id": "x"}', '{"id": 7}'))
    first, broken, again, nameless, bare = jamendo.read_json(io.BytesIO(mixed.encode()))
    assert (first, again) == (expected, expected)
    assert broken == LeftOut("line 3", Reason.NOT_JSON, "not JSON")
    assert isinstance(nameless, LeftOut)
    assert bare == SourceTrack(path="07/7.mp3", source="jamendo")
    # A line that is broken does not hide those after it, also where it is the first.
    assert [type(one) for one in jamendo.read_json(io.BytesIO(b"{\n" + json.dumps(RESULT).encode()))] == [
        LeftOut,
        SourceTrack,
    ]


def test_rows_of_vectors_keep_their_places() -> None:
    good = vectors.VectorRow("ab" * 32, "mini-1", 61.5)
    text = vectors.write_row(good).encode()
    seconds = [text.replace(b"61.5", other) for other in (b"NaN", b"1e999", b"9" * 400, b"true", b"-1")]
    bad = [b"", b"{", b"[]", b'{"audio_hash": "x"}', *seconds, text.replace(b"mini-1", b""), b"\xff"]
    found = list(vectors.read_rows(io.BytesIO(b"\n".join([text.strip(), *(one.strip() for one in bad), text]))))
    assert found[0] == found[-1] == good
    assert len(found) == len(bad) + 2
    assert all(isinstance(one, LeftOut) for one in found[1:-1])


TEXT_LINE = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
            st.sampled_from(["path", "title", "genre", "year", "tags", "id", "results", "musicinfo", "audio_hash"]),
            inner, max_size=4),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
)  # fmt: skip
FILE = st.lists(TEXT_LINE, max_size=8).map(b"\n".join)


def texts_are_bounded(found: list[SourceTrack | LeftOut]) -> None:
    for one in found:
        if isinstance(one, SourceTrack):
            assert rows.path_fault(one.path) == ""
            assert one.genre in ("", *GENRES)
            assert rows.checked(one, "") == one


@given(FILE)
@example(b'{"manifest": 1}\n{"path": "a"}')
def test_no_manifest_raises_anything_but_its_coded_error_and_no_line_is_lost(data: bytes) -> None:
    try:
        read = manifest.read_manifest(io.BytesIO(data))
    except SourceError:
        return
    found = list(read.rows)
    texts_are_bounded(found)
    full = [line for line in io.BytesIO(data) if line.removeprefix(b"\xef\xbb\xbf").strip()]
    assert len(full) - len(found) in (0, 1)
    assert len(full) == len(found) or b"manifest" in data


@given(FILE, st.booleans())
def test_no_jamendo_file_raises_and_no_line_is_lost(data: bytes, is_json: bool) -> None:
    stream = io.BytesIO(data if is_json else TSV_HEAD.encode() + data)
    found = list(jamendo.read_json(stream) if is_json else jamendo.read_tsv(stream))
    texts_are_bounded(found)
    if not is_json:
        assert len(found) == len([line for line in io.BytesIO(data) if line.strip()])


CSV_CELL = st.one_of(
    st.text(alphabet="ab,\"\n\r[]'\\0é", max_size=12),
    st.sampled_from(["[12]", "[1, 25]", "full", "Rock", "small", "2", "1999-01-01", "['a\\d']"]),
)


@given(st.lists(st.lists(CSV_CELL, min_size=1, max_size=13).map(",".join), max_size=6).map("\n".join))
def test_no_row_of_fma_raises(text: str) -> None:
    texts_are_bounded(tracks(HEAD + text))


@given(
    st.integers(1, 10**9 - 1), st.text(min_size=1, max_size=30), st.lists(st.sampled_from([1, 2, 12, 25]), min_size=1)
)
def test_fma_tracks_survive_the_writer_of_csv(track_id: int, title: str, genres: list[int]) -> None:
    import csv

    out = io.StringIO()
    row = [str(track_id), "", "Album", "Artist", "test", "full", "", "", str(genres), "", "['t']", title]
    csv.writer(out).writerow(row)
    data = out.getvalue().encode("utf-8", "replace")
    (found,) = fma.read_tracks(io.BytesIO(HEAD.encode() + data), fma.read_genres(io.BytesIO(GENRES_CSV.encode())))
    name = rows.cleaned(title.encode("utf-8", "replace").decode())
    if name:
        assert isinstance(found, SourceTrack)
        assert found.path.endswith(f"{track_id:06d}.mp3")
        assert " ".join(found.title.split()) == " ".join(name.split())
    else:
        assert isinstance(found, LeftOut)


@given(FILE)
def test_every_line_of_vectors_has_its_answer(data: bytes) -> None:
    assert len(list(vectors.read_rows(io.BytesIO(data)))) == len(list(io.BytesIO(data)))


@given(st.lists(st.binary(max_size=40).map(lambda data: data.replace(b"\n", b"")), max_size=10), st.integers(1, 20))
def test_lines_are_those_of_the_file_and_never_longer_than_the_limit(given_: list[bytes], longest: int) -> None:
    data = b"".join(line + b"\n" for line in given_)
    found = list(rows.lines(io.BytesIO(data), longest))
    assert [line.number for line in found] == list(range(1, len(given_) + 1))
    for number, (line, text) in enumerate(zip(found, given_, strict=True)):
        bare = text.removeprefix(b"\xef\xbb\xbf") if number == 0 else text
        bare = bare.removesuffix(b"\r")
        assert line.data == (bare if len(bare) <= longest else None) or len(text) > longest
