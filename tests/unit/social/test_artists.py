"""Names that are one, and keys that fit."""

from services.social.domain.artists import Named, folder_key
from services.social.domain.ids import TrackId
from services.social.domain.search_names import key_of, search_name, track_names


def named(artist: str = "", path: bytes = b"Some Folder/a.ogg") -> Named:
    return Named(TrackId("t"), "좋은 날", artist, "리얼 Real", path, 2010, None, None)


def test_names_are_one_whatever_their_case_and_form() -> None:
    assert key_of("Sigur Rós") == key_of("SIGUR ROS") == key_of("Sigur  Ro\u0301s") == "sigur ros"
    assert key_of("") == key_of(" ") == ""
    assert key_of("!!!") == "!!!"


def test_long_names_have_short_keys_of_their_own() -> None:
    one, other = "한" * 499 + "가", "한" * 499 + "나"
    assert key_of(one) != key_of(other)
    assert max(len(key_of(each).encode()) for each in (one, other, "a" * 500, "\U0001d400" * 500)) <= 800


def test_folder_tells_albums_apart_only_where_nobody_is_named() -> None:
    assert folder_key(named()) == "some folder"
    assert folder_key(named("아이유")) == ""
    assert folder_key(named(path=b"a.ogg")) == ""


def test_track_is_found_by_the_letters_of_all_its_names() -> None:
    names = track_names("좋은 날", "아이유", "리얼 Real")
    assert names.search_jamo == "ㅈㅗㅎㅇㅡㄴ ㄴㅏㄹ ㅈㅗㅎㅇㅡㄴㄴㅏㄹ ㅇㅏㅇㅣㅇㅠ ㄹㅣㅇㅓㄹ real ㄹㅣㅇㅓㄹreal"
    assert names.search_initials == "ㅈㅇ ㄴ ㅈㅇㄴ ㅇㅇㅇ ㄹㅇ"
    assert search_name("IU").search_name == "iu"
