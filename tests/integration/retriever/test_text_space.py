"""A space of words and sounds beside the serving encoder's: another dimension, searched by a text's vector."""

import numpy as np
import pytest

from museed.retriever.v1 import retriever_pb2
from museed.social.v1 import events_pb2
from services.chassis import vectors
from services.chassis.bus import Bus
from services.chassis.errors import InvalidArgument
from services.retriever.clients import Kept
from services.retriever.similarity import Float32Array
from tests.integration.retriever.conftest import ENCODER_ID, Log, Retriever, unit
from tests.integration.retriever.test_collections import OTHER_ID as TEXT_ID
from tests.integration.retriever.test_collections import until_held

TEXT_DIMENSION = 512


def sound(seed: int) -> Float32Array:
    """Where a track lies in the space that it shares with words."""
    return unit(seed, TEXT_DIMENSION)


async def put_sound(log: Log, track_id: str, vector: Float32Array, genre: str = "") -> None:
    message = events_pb2.TrackVector(
        track_id=track_id, encoder_id=TEXT_ID, version=1, vector=vectors.encode(vector), genre=genre
    )
    await log.put_raw(track_id, message.SerializeToString(), TEXT_ID)


async def test_words_find_tracks_in_their_own_space_and_sounds_in_the_served_one(
    retriever: Retriever, log: Log, bus: Bus
) -> None:
    for number in range(40):
        await log.put(f"t{number:02d}", number)
        await put_sound(log, f"t{number:02d}", sound(100 + number), genre="Jazz" if number % 2 else "Rock")
    retriever.kept = Kept(ENCODER_ID, (TEXT_ID,))
    await until_held(retriever, bus, 40, TEXT_DIMENSION)
    words = sound(100 + 7) + 0.5 * sound(901)  # "a piano at night" lies near to track 7
    words /= np.linalg.norm(words)

    request = retriever_pb2.SearchRequest(vector=vectors.encode(words), encoder_id=TEXT_ID, k=40)
    answer = await retriever.stub.Search(request, timeout=30)
    cosines = {f"t{number:02d}": float(sound(100 + number) @ words) for number in range(40)}
    assert answer.encoder_id == TEXT_ID
    assert [hit.track_id for hit in answer.hits] == sorted(cosines, key=lambda one: -cosines[one])
    assert answer.hits[0].track_id == "t07"
    assert [hit.similarity for hit in answer.hits] == pytest.approx(sorted(cosines.values(), reverse=True), abs=1e-5)

    request.filter.genres.append("rock")
    rock = (await retriever.stub.Search(request, timeout=30)).hits
    assert {hit.track_id for hit in rock} == {f"t{number:02d}" for number in range(0, 40, 2)}

    served = await retriever.stub.Search(retriever_pb2.SearchRequest(vector=vectors.encode(unit(3)), k=1), timeout=30)
    assert (served.encoder_id, served.hits[0].track_id) == (ENCODER_ID, "t03")


async def test_a_vector_of_words_fits_no_other_space(retriever: Retriever, log: Log, bus: Bus) -> None:
    await log.put("t00", 0)
    await put_sound(log, "t00", sound(0))
    retriever.kept = Kept(ENCODER_ID, (TEXT_ID,))
    await until_held(retriever, bus, 1, TEXT_DIMENSION)
    for vector, encoder_id, told in ((sound(1), "", ("2048", "64")), (unit(1), TEXT_ID, ("64", "2048"))):
        request = retriever_pb2.SearchRequest(vector=vectors.encode(vector), encoder_id=encoder_id)
        with pytest.raises(InvalidArgument) as refused:
            await retriever.stub.Search(request, timeout=30)
        error = refused.value
        assert (error.reason, error.field, (error.value, error.limit)) == ("DIMENSION_MISMATCH", "vector", told)
