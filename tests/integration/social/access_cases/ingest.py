"""What an ingest asks for."""

from tests.integration.social.access_cases import Cases

CASES: Cases = {
    "IngestService/ListRoots": "the library is the admins'",
    "IngestService/ListRootFiles": "the library is the admins'",
    "IngestService/MarkMissing": "the library is the admins'",
    "IngestService/ListEmbeddings": "vectors of the library, which is the admins'",
    "IngestService/ImportEmbeddings": "vectors of the library, which is the admins'",
}
