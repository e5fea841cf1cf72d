"""Artists, albums, genres and blocklists."""

from tests.integration.social.access_cases import Cases

CASES: Cases = {
    "LibraryService/SearchArtists": "the library is everybody's",
    "LibraryService/SearchAlbums": "the library is everybody's",
    "LibraryService/BatchGetArtists": "the library is everybody's",
    "LibraryService/BatchGetAlbums": "the library is everybody's",
    "LibraryService/ListTracksOfArtist": "the library is everybody's",
    "LibraryService/ListTracksOfAlbum": "the library is everybody's",
    "LibraryService/ListGenres": "counts of the whole",
    "LibraryService/BatchGetTrackDetails": "the library is everybody's",
    "LibraryService/BatchListTracksOfArtists": "the library is everybody's",
    "LibraryService/BatchListTracksOfAlbums": "the library is everybody's",
    "LibraryService/BatchListAlbums": "the library is everybody's",
    "BlocklistService/BlockTrack": "changes the caller's own list",
    "BlocklistService/UnblockTrack": "changes the caller's own list",
    "BlocklistService/BlockArtist": "changes the caller's own list",
    "BlocklistService/UnblockArtist": "changes the caller's own list",
    "BlocklistService/ListBlocked": "shows the caller's own list",
}
