"""How errors are worded for clients."""

import pytest
from graphql import GraphQLError, GraphQLSyntaxError, parse

from services.chassis.errors import BY_CODE, Internal, InvalidArgument, ResourceExhausted, Unavailable
from services.gateway.errors import client_field, client_message, describe, http_status, present


@pytest.mark.parametrize(
    ("upstream", "shown"),
    [
        (None, None),
        ("length", "length"),
        ("recipe.length", "length"),
        ("recipe.seeds[0].track_id", "seeds[0].trackId"),
        ("recipe.exclude_track_ids[12]", "excludeTrackIds[12]"),
        ("tracks[499].relative_path", "tracks[499].relativePath"),
        ("page_size", "first"),
        ("page_token", "after"),
        ("Content-Length", "Content-Length"),
        ("seeds[0].trackId", "seeds[0].trackId"),
    ],
)
def test_fields_are_called_as_in_the_input(upstream: str | None, shown: str | None) -> None:
    assert client_field(upstream) == shown


def test_sentences_call_the_input_as_clients_do() -> None:
    upstream = InvalidArgument("recipe.max_per_artist is 0, limit is 500", field="recipe.max_per_artist")
    assert client_message(upstream) == "maxPerArtist is 0, limit is 500"
    assert client_message(InvalidArgument("no field here")) == "no field here"


def test_every_code_has_an_http_status() -> None:
    statuses = {code.value: http_status(kind("x")) for code, kind in BY_CODE.items()}
    assert statuses == {
        "INVALID_ARGUMENT": 400,
        "UNAUTHENTICATED": 401,
        "PERMISSION_DENIED": 403,
        "NOT_FOUND": 404,
        "ALREADY_EXISTS": 409,
        "FAILED_PRECONDITION": 409,
        "ABORTED": 409,
        "RESOURCE_EXHAUSTED": 429,
        "UNAVAILABLE": 503,
        "DEADLINE_EXCEEDED": 504,
        "UNIMPLEMENTED": 501,
        "INTERNAL": 500,
    }
    assert http_status(ResourceExhausted("x", reason="UPLOAD_TOO_LARGE")) == 413


def test_only_what_applies_is_described() -> None:
    assert describe(Unavailable("x", retry_after_ms=250)) == {
        "code": "UNAVAILABLE",
        "reason": "UNAVAILABLE",
        "retryAfterMs": 250,
    }
    full = InvalidArgument("x", reason="R", field="page_size", value=0, limit=100)
    assert describe(full) == {"code": "INVALID_ARGUMENT", "reason": "R", "field": "first", "value": "0", "limit": "100"}


def presented(error: GraphQLError) -> tuple[str, dict[str, object]]:
    present(error)
    return error.message, error.extensions or {}


def test_domain_error_keeps_its_words() -> None:
    cause = InvalidArgument("length is 0", reason="LENGTH_OUT_OF_RANGE", field="length", value=0, limit=500)
    message, extensions = presented(GraphQLError("wrapped", original_error=cause))
    assert message == "length is 0"
    assert extensions["reason"] == "LENGTH_OUT_OF_RANGE"


@pytest.mark.parametrize("cause", [RuntimeError("secret"), Internal("secret"), TypeError("secret")])
def test_the_inside_is_masked_and_logged(cause: Exception, caplog: pytest.LogCaptureFixture) -> None:
    message, extensions = presented(GraphQLError("secret", original_error=cause))
    assert "secret" not in message
    assert extensions["code"] == "INTERNAL"
    assert "errorId" in extensions
    assert "secret" in caplog.text


@pytest.mark.parametrize(
    ("document", "options", "reason", "limit"),
    [
        ("{ a b c }", {"max_lexical_tokens": 4}, "DOCUMENT_TOO_LARGE", "4"),
        ("#\n#\n{ a }", {"max_comments": 1}, "DOCUMENT_TOO_LARGE", "1"),
        ("{ a b c }", {"max_source_length": 5}, "DOCUMENT_TOO_LARGE", "5"),
        ("{ a" * 400 + "}" * 400, {}, "DOCUMENT_TOO_DEEP", None),
        ("{ a", {}, "DOCUMENT_INVALID", None),
    ],
)
def test_bounds_of_the_parser_are_recognised_by_their_wording(
    document: str, options: dict[str, int], reason: str, limit: str | None
) -> None:
    with pytest.raises(GraphQLSyntaxError) as caught:
        parse(document, **options)  # type: ignore[arg-type]  # only bounds are passed
    _, extensions = presented(caught.value)
    assert (extensions["reason"], extensions.get("limit")) == (reason, limit)
