"""What the pages of mails send, where nothing else may be asked."""

import html
import json
import re
from pathlib import Path

from pydantic import SecretStr

from services.gateway.pages import _PAGES, DOCUMENTS
from services.gateway.settings import GatewaySettings
from services.gateway.trust import trusted_documents


def test_documents_of_the_pages_are_trusted_wherever_they_are_served(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({}))
    settings = GatewaySettings(url_signing_key=SecretStr("k" * 32), trusted_documents=str(manifest), trusted_only=True)
    documents = trusted_documents(settings)
    found = [re.findall('data-mutation="([^"]*)"', page) for page in _PAGES.values()]
    assert found == [[document] for document in DOCUMENTS]
    assert [documents.refusal(document) for [document] in found] == [None, None]
    refused = documents.refusal("{ me { email } }")
    assert refused is not None
    assert refused.reason == "DOCUMENT_NOT_TRUSTED"


def test_refusals_are_told_in_korean_by_their_code() -> None:
    for page in _PAGES.values():
        (told,) = re.findall('data-codes-ko="([^"]*)"', page)
        assert (
            json.loads(html.unescape(told))["MAIL_TOKEN_REFUSED"]
            == "더 이상 유효하지 않은 링크입니다. 다시 요청해 주세요."
        )
    assert all("UserError { code message }" in document for document in DOCUMENTS)
