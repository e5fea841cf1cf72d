"""The shortcuts of execution, over the whole schema: every document has the answer that graphql-core gives it."""

import re
from typing import Any

import pytest

from services.gateway.execution import Execution
from services.gateway.schema import make_schema
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.documents import places, selections
from tests.integration.gateway.page_documents import PAGES

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHORTCUTS = ("execute_collected_root_fields", "execute_fields", "complete_list_value")
# Signed addresses have an end and a number of their own; made-up people count by their place in a batch.
CHANGING = re.compile(r'\?[^"\\ ]*|(?<=username )\d+')


async def answers(gateway: Gateway, documents: list[str]) -> dict[str, Any]:
    """Return what each document is answered: its data, without what is new each time, and its errors."""
    found: dict[str, Any] = {}
    for number, document in enumerate(documents):
        for fake in (gateway.social, gateway.retriever):
            fake.is_made_up = True
            fake.list_size = 3
        body = await gateway.run(document, headers=gateway.bearer(sub=f"viewer-{number}", role="admin"))
        found[document] = CHANGING.sub("?", repr(body["data"])), body.get("errors")
    return found


async def test_every_document_is_answered_as_graphql_core_does(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = make_schema()._schema
    documents = [document for document, _ in PAGES.values()]
    documents += [
        place.document(selection) for place in places(schema) for selection in selections(schema, place.type_name)
    ]
    short = await answers(gateway, documents)
    again = await answers(gateway, documents)  # by what was kept of them
    for name in SHORTCUTS:
        monkeypatch.delattr(Execution, name)
    long = await answers(gateway, documents)
    assert [one for one in documents if not short[one] == again[one] == long[one]] == []
    assert len(documents) > 100
