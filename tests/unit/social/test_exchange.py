"""Playlists as files: what is written is read back, and what is no such file is refused within bounds."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import InvalidArgument
from services.social.domain.ids import TrackId
from services.social.exchange import formats
from services.social.exchange.matching import Candidate, Unmatched, Way, chosen, names_of
from services.social.exchange.rows import FileRow, Format, TrackRow, WrittenPlaylist, row_of

MBID = "0b6b4ba0-d36f-47bd-b4ea-6a5b91842d29"
WHOLE = TrackRow("좋은 날", "IU", "Real", 233.4, MBID, "KRA301000123", "K/IU - 좋은 날?#1.mp3".encode())
BARE = TrackRow('<Untitled> & "more"', "", "", 61.0, None, None, b"\xff\xfe odd\nname.ogg")
PLAYLIST = WrittenPlaylist("Rainy\nday", "Two\nlines & <more>", [WHOLE, BARE])

names = st.text(st.characters(codec="utf-8"), max_size=30).map(str.strip)
written_rows = st.builds(
    TrackRow,
    names.filter(bool),
    names,
    names,
    st.floats(0, 10_000),
    st.none() | st.uuids().map(str),
    st.none() | st.from_regex(r"[A-Z]{2}[A-Z0-9]{3}[0-9]{7}", fullmatch=True),
    st.binary(min_size=1, max_size=40),
)


def refused(format_: Format, content: bytes) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as refusal:
        formats.read(format_, content)
    return refusal.value


def test_m3u8_is_what_players_read() -> None:
    assert formats.write(Format.M3U8, PLAYLIST).decode() == (
        "#EXTM3U\n#PLAYLIST:Rainy day\n#EXTINF:233,IU - 좋은 날\nK/IU - 좋은 날?#1.mp3\n"
        '#EXTINF:61,<Untitled> & "more"\n%FF%FE%20odd%0Aname.ogg\n'
    )
    hash_first = WrittenPlaylist("", "", [TrackRow("A", "", "", 1.0, None, None, b"#1.mp3")])
    assert formats.write(Format.M3U8, hash_first).decode().splitlines()[-1] == "./#1.mp3"


def test_jspf_and_xspf_say_the_same() -> None:
    said = json.loads(formats.write(Format.JSPF, PLAYLIST))["playlist"]
    assert said == {
        "title": "Rainy day",
        "annotation": "Two\nlines & <more>",
        "track": [
            {
                "location": ["K/IU%20-%20%EC%A2%8B%EC%9D%80%20%EB%82%A0%3F%231.mp3"],
                "identifier": [f"https://musicbrainz.org/recording/{MBID}", "urn:isrc:KRA301000123"],
                "title": "좋은 날",
                "creator": "IU",
                "album": "Real",
                "duration": 233400,
            },
            {"location": ["%FF%FE%20odd%0Aname.ogg"], "title": '<Untitled> & "more"', "duration": 61000},
        ],
    }
    assert formats.write(Format.XSPF, PLAYLIST).decode() == (
        "<?xml version='1.0' encoding='utf-8'?>\n"
        '<playlist version="1" xmlns="http://xspf.org/ns/0/">\n'
        "  <title>Rainy day</title>\n"
        "  <annotation>Two\nlines &amp; &lt;more&gt;</annotation>\n"
        "  <trackList>\n    <track>\n"
        "      <location>K/IU%20-%20%EC%A2%8B%EC%9D%80%20%EB%82%A0%3F%231.mp3</location>\n"
        f"      <identifier>https://musicbrainz.org/recording/{MBID}</identifier>\n"
        "      <identifier>urn:isrc:KRA301000123</identifier>\n"
        "      <title>좋은 날</title>\n      <creator>IU</creator>\n      <album>Real</album>\n"
        "      <duration>233400</duration>\n    </track>\n    <track>\n"
        "      <location>%FF%FE%20odd%0Aname.ogg</location>\n"
        '      <title>&lt;Untitled&gt; &amp; "more"</title>\n'
        "      <duration>61000</duration>\n    </track>\n  </trackList>\n</playlist>\n"
    )


def test_links_with_a_token_take_the_place_of_paths() -> None:
    linked = TrackRow("A", "B", "", 1.0, None, None, b"a.mp3", "https://mesh.example/stream/s/t")
    for format_ in Format:
        text = formats.write(format_, WrittenPlaylist("", "", [linked])).decode()
        assert "https://mesh.example/stream/s/t" in text
        assert "a.mp3" not in text


@given(title=names, rows=st.lists(written_rows, max_size=5))
def test_what_is_written_is_read_back(title: str, rows: list[TrackRow]) -> None:
    wanted = [
        row_of(
            row.title,
            row.artist,
            row.album,
            round(row.seconds * 1000) / 1000,
            [f"https://musicbrainz.org/recording/{row.recording_id}", f"urn:isrc:{row.isrc}"],
        )
        for row in rows
    ]
    for format_ in (Format.JSPF, Format.XSPF):
        found = formats.read(format_, formats.write(format_, WrittenPlaylist(title, title, rows)))
        assert found.rows == wanted
        assert found.title == row_of(title, "", "", 0, []).title
    lines = formats.read(Format.M3U8, formats.write(Format.M3U8, WrittenPlaylist(title, "", rows)))
    assert len(lines.rows) == len(rows)
    assert [row.seconds for row in lines.rows] == [float(round(row.seconds)) for row in rows]


def test_m3u8_of_others_is_understood() -> None:
    content = (
        '\ufeff#EXTM3U\r\n#PLAYLIST: Mine \r\n#EXTINF:-1 tvg-id="x",A - B - C\r\nC:\\Music\\x.mp3\r\n\r\n'
        "#EXTINF:12.5,Only a name\n/a/b.mp3\r#EXTART:The Artist\n#EXTALB:The Album\n#EXTINF:7,The Artist - Song\nx\n"
        "http://example.org/dir/03%20-%20Some%20Song.mp3?token=1\nfolder\\04 Artist - Title.ogg"
    )
    found = formats.read(Format.M3U8, content.encode())
    assert found.title == "Mine"
    assert [(row.title, row.artist, row.album, row.seconds) for row in found.rows] == [
        ("B - C", "A", "", 0.0),
        ("Only a name", "", "", 12.5),
        ("Song", "The Artist", "The Album", 7.0),
        ("Some Song", "", "", 0.0),
        ("Title", "Artist", "", 0.0),
    ]
    assert found.rows[0].readings == (("B - C", "A"), ("C", "A - B"))


def test_identifiers_are_read_as_others_write_them() -> None:
    row = row_of(
        "A", 5, None, float("inf"), [7, f"http://musicbrainz.org/recording/{MBID.upper()}", "isrc:us-um7-17-03861"]
    )
    assert (row.recording_id, row.isrc, row.artist, row.seconds) == (MBID, "USUM71703861", "", 0.0)


@pytest.mark.parametrize(
    ("format_", "content", "line"),
    [
        (Format.M3U8, b"#EXTM3U\n\xff\xff", 2),
        (Format.M3U8, b"a\nb\nc\0d", 3),
        (Format.M3U8, b"#\n" * 100_000 + b"#", 100_001),
        (Format.JSPF, b'{"playlist":\n{]', 2),
        (Format.JSPF, b'{"playlist":\n"\xff"}', 2),
        (Format.JSPF, b"[" * 100_000, 1),
        (Format.JSPF, b'{"playlist": {"track": [], "more": [' + b"1," * 200_000 + b"1]}}", 1),
        (Format.JSPF, b'{"playlist": {"track": [{"duration": NaN}]}}', 1),
        (Format.JSPF, b'{"playlist": {"track": [{"duration": ' + b"1" * 5_000 + b"}]}}", 1),
        (Format.JSPF, b'{"playlist": {"track": {}}}', 1),
        (Format.JSPF, b"[]", 1),
        (Format.XSPF, b"", 1),
        (Format.XSPF, b"<playlist>\n<a></b></playlist>", 2),
        (Format.XSPF, b"<html/>", 1),
        (Format.XSPF, b'<!DOCTYPE playlist [\n<!ENTITY a "b">]><playlist/>', 1),
        (Format.XSPF, b'<?xml version="1.0" encoding="klingon"?><playlist/>', 1),
        (Format.XSPF, b"<playlist>" + b"<a>" * 20 + b"</a>" * 20 + b"</playlist>", 1),
        (Format.XSPF, b"<playlist>" + b"<a>" * 1_500_000, 1),
        (Format.XSPF, b"<playlist>" + b"<a/>" * 100_001 + b"</playlist>", 1),
    ],
)
def test_unreadable_file_is_refused_with_its_line(format_: Format, content: bytes, line: int) -> None:
    refusal = refused(format_, content)
    assert (refusal.reason, refusal.field, refusal.value) == ("PLAYLIST_FILE_UNREADABLE", "content", f"line {line}")


@pytest.mark.parametrize(
    ("format_", "content"),
    [
        (Format.M3U8, b"a.mp3\n" * 1_001),
        (Format.JSPF, b'{"playlist": {"track": [' + b"{}," * 1_000 + b"{}]}}"),
        (Format.XSPF, b"<playlist><trackList>" + b"<track/>" * 1_001 + b"</trackList></playlist>"),
    ],
)
def test_file_has_a_thousand_rows_at_most(format_: Format, content: bytes) -> None:
    refusal = refused(format_, content)
    assert (refusal.reason, refusal.value, refusal.limit) == ("OUT_OF_RANGE", "1001", "1000")
    shorter = content.replace(b"a.mp3\n", b"", 1).replace(b"{},", b"", 1).replace(b"<track/>", b"", 1)
    assert len(formats.read(format_, shorter).rows) == 1_000


def test_comments_of_m3u8_are_as_many_as_its_lines_may_be() -> None:
    assert formats.read(Format.M3U8, b"#\r\n" * 99_999 + b"a.mp3\r\n").rows[0].title == "a"
    assert formats.read(Format.M3U8, b"#\n" * 99_999 + b"a.mp3").rows[0].title == "a"


def test_file_has_five_million_bytes_at_most() -> None:
    refusal = refused(Format.M3U8, b"#" * 5_000_001)
    assert (refusal.reason, refusal.value, refusal.limit) == ("OUT_OF_RANGE", "5000001", "5000000")
    assert formats.read(Format.M3U8, b"#" * 5_000_000).rows == []


def test_what_is_no_text_in_a_row_says_nothing() -> None:
    content = b'{"playlist": {"title": 5, "track": [7, {"title": ["x"], "duration": true, "identifier": "urn:isrc:x"},'
    content += b'{"title": "\\ud800A\\u0000B", "duration": -5, "creator": null}]}}'
    found = formats.read(Format.JSPF, content)
    assert found.title == ""
    assert [(row.title, row.artist, row.seconds, row.isrc) for row in found.rows] == [
        ("", "", 0.0, None),
        ("", "", 0.0, None),
        ("A B", "", 0.0, None),
    ]


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Rainy day", "Rainy day.xspf"),
        ('AC/DC: "Best" <of>?', "AC_DC_ _Best_ _of_.xspf"),
        ("...", "playlist.xspf"),
        ("비 오는 날", "비 오는 날.xspf"),
    ],
)
def test_file_has_a_name_that_every_system_takes(title: str, name: str) -> None:
    assert formats.file_name(title, Format.XSPF) == name


def candidate(way: Way, track: str, identity: str, seconds: float = 60.0, album: str = "") -> Candidate:
    return Candidate(way, TrackId(track), album, seconds, identity)


ROW = FileRow("Title", "Artist", "Album", 61.0, None, None, (("Title", "Artist"),))


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        ([], Unmatched.NO_TRACK_FOUND),
        ([candidate(Way.NAME, "b", "1"), candidate(Way.RECORDING, "c", "2")], "c"),
        ([candidate(Way.ISRC, "b", "1"), candidate(Way.ISRC, "a", "2")], "a"),
        ([candidate(Way.ISRC, "a", "1", 55), candidate(Way.ISRC, "b", "1", 60)], "b"),
        ([candidate(Way.NAME, "b", "1"), candidate(Way.NAME, "a", "1")], "a"),
        ([candidate(Way.NAME, "b", "1"), candidate(Way.NAME, "a", "2")], Unmatched.AMBIGUOUS),
        ([candidate(Way.NAME, "b", "1", album="album"), candidate(Way.NAME, "a", "2")], "b"),
    ],
)
def test_row_means_one_recording_or_none(candidates: list[Candidate], expected: str) -> None:
    assert chosen(ROW, candidates) == expected


def test_title_alone_is_looked_up_only_with_a_length() -> None:
    assert names_of(FileRow("A", "", "", 0.0, None, None, (("A", ""),))) == []
    assert names_of(FileRow("Á", "", "", 9.0, None, None, (("Á", ""),))) == [("a", "")]
    assert names_of(FileRow("", "B", "", 9.0, None, None, (("", "B"),))) == []
