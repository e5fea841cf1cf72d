"""Accounts and sessions."""

from museed.social.v1 import api_tokens_pb2, api_tokens_pb2_grpc, sessions_pb2, sessions_pb2_grpc
from services.social.domain.ids import new_id
from tests.integration.social.access_cases import ONLY_OWNER, Case, Cases, World
from tests.integration.social.conftest import TIMEOUT_S
from tests.integration.social.mailbox import log_in


async def _session(world: World) -> sessions_pb2.RevokeSessionRequest:
    who = await log_in(world.client, world.owner.username, world.owner.password)
    stub = world.client.stub(sessions_pb2_grpc.SessionServiceStub)
    answer = await stub.ListSessions(sessions_pb2.ListSessionsRequest(), timeout=TIMEOUT_S, metadata=who.metadata)
    return sessions_pb2.RevokeSessionRequest(session_id=answer.sessions[0].session_id)


async def _token(world: World) -> api_tokens_pb2.RevokeApiTokenRequest:
    stub = world.client.stub(api_tokens_pb2_grpc.ApiTokenServiceStub)
    request = api_tokens_pb2.CreateApiTokenRequest(
        idempotency_key=new_id(), name="radio", scopes=[api_tokens_pb2.API_SCOPE_READ]
    )
    answer = await stub.CreateApiToken(request, timeout=TIMEOUT_S, metadata=world.owner.metadata)
    return api_tokens_pb2.RevokeApiTokenRequest(token_id=answer.token.token_id)


CASES: Cases = {
    "AccountService/SignUp": "makes the caller somebody",
    "AccountService/LogIn": "a password says whose it is",
    "AccountService/RefreshSession": "a refresh token says whose it is",
    "AccountService/LogOut": "ends the session of the caller's own token",
    "AccountService/GetViewer": "tells the caller's own account",
    "AccountService/BatchGetUsers": "tells what everybody may know",
    "AccountService/GetJwks": "public keys",
    "AccountService/ListRevokedSessions": "ids of sessions, which open nothing",
    "SessionService/ListSessions": "lists the caller's own",
    "SessionService/RevokeSession": Case(_session, ONLY_OWNER),
    "SessionService/RevokeOtherSessions": "ends the caller's own",
    "CredentialService/ChangePassword": "the caller's own, and who knows the old one",
    "CredentialService/ChangeEmail": "the caller's own, and who knows the password",
    "CredentialService/UpdateProfile": "the caller's own",
    "CredentialService/RequestPasswordReset": "the answer is the same to everybody",
    "CredentialService/ResetPassword": "a link's token says whose it is",
    "CredentialService/VerifyEmail": "a link's token says whose it is",
    "CredentialService/RequestVerification": "the caller's own address",
    "ApiTokenService/CreateApiToken": "makes the caller's own",
    "ApiTokenService/ListApiTokens": "lists the caller's own",
    "ApiTokenService/RevokeApiToken": Case(_token, ONLY_OWNER),
    "ApiTokenService/ExchangeApiToken": "a secret says whose it is",
}
