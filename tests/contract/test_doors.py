"""Services let in whom their callers' tests say: behind a fake's door nobody sees that the real one is shut."""

import pytest

from services.chassis.auth import Access
from services.embedder.servicer import ACCESS as EMBEDDER
from services.retriever.servicer.profile_servicer import ACCESS as PROFILES
from services.retriever.servicer.reference_servicer import ACCESS as REFERENCES
from services.retriever.servicer.servicer import ACCESS as RETRIEVER
from services.social.servicer.access import ACCESS as SOCIAL
from tests.fakes import upstreams
from tests.integration.social import fakes

REAL = {**SOCIAL, **EMBEDDER, **RETRIEVER, **PROFILES, **REFERENCES}


@pytest.mark.parametrize(
    "faked",
    [upstreams.SOCIAL_ACCESS, upstreams.RETRIEVER_ACCESS, fakes.EMBEDDER_ACCESS, fakes.RETRIEVER_ACCESS],
    ids=["social of the gateway", "retriever of the gateway", "embedder of social", "retriever of social"],
)
def test_doors_of_fakes_are_those_of_services(faked: dict[str, Access]) -> None:
    assert faked == {rpc: REAL[rpc] for rpc in faked}
