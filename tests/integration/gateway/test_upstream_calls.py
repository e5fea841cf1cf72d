"""What documents cost upstream: exact calls, and as many for lists of 30 as for lists of 3."""

from typing import Any

import pytest

from services.gateway.schema import make_schema
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.documents import places, selections
from tests.integration.gateway.page_documents import PAGES

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def spent(gateway: Gateway, document: str, size: int, viewer: str) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Return the calls that a document cost where every list has so many items, and the errors of its answer."""
    for fake in (gateway.social, gateway.retriever):
        fake.is_made_up = True
        fake.list_size = size
    body = await gateway.run(document, headers=gateway.bearer(sub=viewer, role="admin"))
    return gateway.behind.spent(), [error["extensions"] for error in body.get("errors", ())]


async def test_nothing_that_can_be_asked_of_the_items_of_a_list_costs_a_call_for_each(gateway: Gateway) -> None:
    schema = make_schema()._schema
    wrong: dict[str, Any] = {}
    documents = [
        place.document(selection) for place in places(schema) for selection in selections(schema, place.type_name)
    ]
    for number, document in enumerate(documents):
        few, errors = await spent(gateway, document, 3, f"viewer-{number}")
        many, more_errors = await spent(gateway, document, 7, f"viewer-{number}")
        if few != many or errors or more_errors:
            wrong[document] = (few, many, (errors + more_errors)[:1])
    for document, found in wrong.items():
        print(document, *found, sep="\n  ")
    assert wrong == {}
    assert len(documents) > 100


@pytest.mark.parametrize("size", [3, 30])
@pytest.mark.parametrize("page", PAGES)
async def test_page_costs_what_it_always_did(gateway: Gateway, page: str, size: int) -> None:
    document, calls = PAGES[page]
    assert await spent(gateway, document, size, f"viewer of {page}") == (calls, [])
