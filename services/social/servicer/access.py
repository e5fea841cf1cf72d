"""Who may call which RPC. Whether this very thing is theirs is decided in the servicers, from the verified token."""

from services.chassis.auth import Access

_ROWS: dict[str, dict[Access, str]] = {
    "AccountService": {
        Access.PUBLIC: "SignUp LogIn RefreshSession BatchGetUsers GetJwks ListRevokedSessions",
        Access.USER: "LogOut GetViewer",
    },
    "CatalogService": {
        Access.PUBLIC: "SearchTracks BatchGetTracks GetTrackMedia GetReadPoint GetStats",
        Access.USER: "CreateUpload GetUpload",
        Access.ADMIN: "RegisterRoot RegisterTracks GetIngestProgress ListFailedTracks",
    },
    "EncoderService": {
        Access.PUBLIC: "GetServingEncoder",
        Access.ADMIN: "ListEncoders SwitchEncoder RollBackEncoder",
    },
    "PlaylistService": {
        Access.PUBLIC: "GetPlaylist",
        Access.USER: "ListMyPlaylists UpdatePlaylist DeletePlaylist",
    },
    "JobService": {
        Access.USER: "CreateGenerationJob GetJob CancelJob",
    },
    "WorkService": {
        Access.PUBLIC: "FilterWanted",
        Access.ADMIN: "ListStreams ListDeadLetters ReplayDeadLetters",
    },
}

ACCESS: dict[str, Access] = {
    f"/museed.social.v1.{service}/{name}": access
    for service, rows in _ROWS.items()
    for access, names in rows.items()
    for name in names.split()
}
