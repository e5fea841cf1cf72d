"""Which scope an RPC needs, by its name."""

import pytest

from services.chassis.scopes import Scope, scope_claim, scope_of, scopes_in


@pytest.mark.parametrize(
    "name",
    [
        "GetViewer",
        "ListSessions",
        "BatchGetTracks",
        "Search",
        "SearchTracks",
        "FindProfiles",
        "CanOpen",
        "DescribeModel",
        "ExportPlaylist",
        "ResolveSlug",
        "/museed.social.v1.JobService/GetJob",
    ],
)
def test_names_that_read(name: str) -> None:
    assert scope_of(name) is Scope.READ


@pytest.mark.parametrize(
    "name",
    [
        "CreateGenerationJob",
        "CancelJob",
        "Listen",
        "Getaway",
        "BatchDelete",
        "get",
        "forGet",
        "LogOut",
        "",
        "ReplayList",
        "/museed.social.v1.GetService/CancelJob",
        "/museed.social.v1.JobService/",
    ],
)
def test_all_other_names_write(name: str) -> None:
    assert scope_of(name) is Scope.WRITE


def test_claims_are_read_as_written() -> None:
    for scopes in (frozenset(), frozenset({Scope.ADMIN}), frozenset(Scope)):
        assert scopes_in(scope_claim(scopes)) == scopes
    assert scope_claim(frozenset(Scope)) == "read write admin"
    assert scopes_in("admins  read,write READ") == frozenset()
