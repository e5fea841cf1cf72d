"""Work, streams and encoders: the operators'."""

from tests.integration.social.access_cases import Cases

CASES: Cases = {
    "WorkService/FilterWanted": "pieces of work, which name nobody",
    "WorkService/ListStreams": "the mesh is the admins'",
    "WorkService/ListDeadLetters": "the mesh is the admins'",
    "WorkService/ReplayDeadLetters": "the mesh is the admins'",
    "EncoderService/GetServingEncoder": "which encoder serves",
    "EncoderService/ListEncoders": "the mesh is the admins'",
    "EncoderService/SwitchEncoder": "the mesh is the admins'",
    "EncoderService/RollBackEncoder": "the mesh is the admins'",
}
