"""Encoders over HTTP: who is what, the switch, the way back; for admins."""

import pytest

from museed.social.v1 import encoders_pb2
from services.chassis.errors import FailedPrecondition
from tests.integration.gateway.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIST = "{ encoders { encoderId name dimension role trackCount indexedCount failedCount isRunning } }"
ERROR = "... on UserError { code message field value limit }"
ROLES = "roles { servingId candidateId previousId }"
SWITCH = f"""mutation($input: SwitchEncoderInput!) {{ switchEncoder(input: $input) {{ __typename
  ... on SwitchEncoderSuccess {{ {ROLES} }} {ERROR} }} }}"""
ROLLBACK = f"""mutation {{ rollbackEncoder {{ __typename
  ... on RollbackEncoderSuccess {{ {ROLES} givenUpId }} {ERROR} }} }}"""


async def test_admin_sees_every_encoder_with_its_counts(gateway: Gateway) -> None:
    gateway.social.encoders = [
        encoders_pb2.Encoder(
            encoder_id="fake-1",
            name="fake",
            dimension=200,
            role=encoders_pb2.ENCODER_ROLE_CANDIDATE,
            track_count=30,
            indexed_count=20,
            failed_count=1,
            is_running=True,
        )
    ]
    assert await gateway.data(LIST, headers=gateway.bearer(role="admin")) == {
        "encoders": [
            {
                "encoderId": "fake-1",
                "name": "fake",
                "dimension": 200,
                "role": "CANDIDATE",
                "trackCount": 30,
                "indexedCount": 20,
                "failedCount": 1,
                "isRunning": True,
            }
        ]
    }


async def test_switch_names_its_encoder_and_tells_the_roles(gateway: Gateway) -> None:
    found = await gateway.data(SWITCH, {"input": {"encoderId": "other-1"}}, gateway.bearer(role="admin"))
    roles = {"servingId": "fake-0123456789abcdef", "candidateId": "other-1", "previousId": None}
    assert found == {"switchEncoder": {"__typename": "SwitchEncoderSuccess", "roles": roles}}
    assert gateway.social.requests["SwitchEncoder"].encoder_id == "other-1"


async def test_rollback_tells_what_was_given_up(gateway: Gateway) -> None:
    found = await gateway.data(ROLLBACK, headers=gateway.bearer(role="admin"))
    roles = {"servingId": "fake-0123456789abcdef", "candidateId": None, "previousId": None}
    assert found == {
        "rollbackEncoder": {"__typename": "RollbackEncoderSuccess", "roles": roles, "givenUpId": "other-1"}
    }


async def test_refused_switch_is_a_conflict_that_says_why(gateway: Gateway) -> None:
    gateway.social.faults["SwitchEncoder"] = FailedPrecondition(
        "fake-1 is served already", reason="ENCODER_ALREADY_SERVING", field="encoder_id", value="fake-1"
    )
    found = await gateway.data(SWITCH, {"input": {"encoderId": "fake-1"}}, gateway.bearer(role="admin"))
    assert found["switchEncoder"] == {
        "__typename": "ConflictError",
        "code": "ENCODER_ALREADY_SERVING",
        "message": "fake-1 is served already",
        "field": "encoderId",
        "value": "fake-1",
        "limit": None,
    }


async def test_encoders_are_for_admins(gateway: Gateway) -> None:
    body = await gateway.run(LIST, headers=gateway.bearer())
    assert body["errors"][0]["extensions"]["code"] == "PERMISSION_DENIED"
    for document, variables in ((SWITCH, {"input": {"encoderId": "x"}}), (ROLLBACK, None)):
        (found,) = (await gateway.data(document, variables, gateway.bearer())).values()
        assert found["code"] == "PERMISSION_DENIED"
    assert gateway.behind.spent() == {}
