"""Social's IngestService in memory, as a part of `FakeSocial`."""

from typing import Any

from museed.social.v1 import ingest_pb2


class FakeIngest:
    """Knows the files that a test put in, in pages of one, and takes every vector."""

    root_files: list[ingest_pb2.RootFile]

    async def note(self, name: str, request: Any) -> None:
        raise NotImplementedError

    async def ListRootFiles(
        self, request: ingest_pb2.ListRootFilesRequest, context: object
    ) -> ingest_pb2.ListRootFilesResponse:
        await self.note("ListRootFiles", request)
        start = int(request.page_token or 0)
        end = start + 1
        return ingest_pb2.ListRootFilesResponse(
            files=self.root_files[start:end], next_page_token=str(end) if end < len(self.root_files) else ""
        )

    async def MarkMissing(
        self, request: ingest_pb2.MarkMissingRequest, context: object
    ) -> ingest_pb2.MarkMissingResponse:
        await self.note("MarkMissing", request)
        return ingest_pb2.MarkMissingResponse(marked_count=len(request.relative_paths))

    async def ListEmbeddings(
        self, request: ingest_pb2.ListEmbeddingsRequest, context: object
    ) -> ingest_pb2.ListEmbeddingsResponse:
        await self.note("ListEmbeddings", request)
        one = ingest_pb2.StoredEmbedding(audio_hash=b"\xab" * 32, vector=b"\0\0\x80?", duration_seconds=61.5)
        return ingest_pb2.ListEmbeddingsResponse(embeddings=[one], next_page_token="" if request.page_token else "on")

    async def ImportEmbeddings(
        self, request: ingest_pb2.ImportEmbeddingsRequest, context: object
    ) -> ingest_pb2.ImportEmbeddingsResponse:
        await self.note("ImportEmbeddings", request)
        outcomes = [
            ingest_pb2.ImportedEmbedding(outcome=ingest_pb2.IMPORT_OUTCOME_STORED)
            if one.vector
            else ingest_pb2.ImportedEmbedding(
                outcome=ingest_pb2.IMPORT_OUTCOME_REFUSED, reason="DIMENSION_MISMATCH", message="vector has 0 bytes"
            )
            for one in request.embeddings
        ]
        return ingest_pb2.ImportEmbeddingsResponse(embeddings=outcomes)
