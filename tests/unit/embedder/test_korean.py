"""Conjugation against forms as dictionaries give them."""

import pytest

from services.embedder.korean import forms, is_hangul


@pytest.mark.parametrize(
    ("stem", "some"),
    [
        ("신나", "신나다 신나는 신난 신날 신남 신나 신나요 신나고 신나게 신나서 신나면 신났던 신났어요 신납니다"),
        (
            "우울하",
            "우울하다 우울한 우울할 우울함 우울해 우울해요 우울하고 우울하게 우울해서 우울했던 우울합니다 우울해지는",
        ),
        ("설레", "설레는 설렌 설렐 설렘 설레요 설렜던 설렙니다 설렐때"),
        ("슬프", "슬프다 슬픈 슬플 슬픔 슬퍼 슬퍼요 슬프고 슬펐던 슬픕니다 슬플때"),
        ("아프", "아픈 아파 아파요 아팠던 아픔"),
        ("어둡", "어둡다 어두운 어두울 어두움 어두워 어두워요 어둡고 어둡게 어두웠던 어둡습니다"),
        ("평화롭", "평화로운 평화로워 평화롭고 평화로움"),
        ("밝", "밝다 밝은 밝을 밝음 밝아 밝아요 밝고 밝게 밝았던 밝으면 밝으며 밝습니다"),
        ("맑", "맑은 맑아 맑고"),
        ("힘들", "힘들다 힘든 힘들 힘듦 힘들어 힘들어요 힘들고 힘들면 힘들면서 힘드는 힘듭니다 힘들때"),
        ("빠르", "빠른 빨라 빨라요 빨랐던 빠름 빠르게"),
        ("흐르", "흐르는 흘러 흘렀던 흐름"),
        ("흐리", "흐린 흐려 흐렸던 흐림"),
        ("비오", "비오는 비온 비올 비와 비와요 비왔던"),
        ("꿈꾸", "꿈꾸는 꿈꿔 꿈꿨던 꿈꾼"),
        ("달리", "달리는 달려 달렸던 달릴"),
        ("재미있", "재미있는 재미있어 재미있었던 재미있을 재미있게"),
        ("헤어지", "헤어진 헤어져 헤어졌던 헤어지는"),
    ],
)
def test_forms_are_those_of_the_dictionary(stem: str, some: str) -> None:
    assert set(some.split()) - forms(stem) == set()


@pytest.mark.parametrize(
    ("stem", "wrong"),
    [
        ("슬프", "슬프어 슬프었던"),
        ("어둡", "어둡은 어둡어 어둡을"),
        ("힘들", "힘들은 힘들는 힘드면"),
        ("우울하", "우울하아 우울하여요"),
        ("빠르", "빠르어 빠라"),
        ("달리", "달리어"),
    ],
)
def test_irregular_stems_have_no_regular_forms(stem: str, wrong: str) -> None:
    assert set(wrong.split()) & forms(stem) == set()


def test_hangul_is_told_from_other_scripts() -> None:
    assert all(is_hangul(letter) for letter in "가힣ㄱㅏㅋ" + "\u1100\u1161\u11a8\ua960\ud7b0\uffa1\u3260\u3200")
    assert not any(is_hangul(letter) for letter in "az09 é悲のю!" + "\ua984\uaa00\uabc0\uab70\uff71\u3280")
