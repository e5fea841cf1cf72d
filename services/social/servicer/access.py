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
    "SessionService": {
        Access.USER: "ListSessions",
        Access.SESSION: "RevokeSession RevokeOtherSessions",
    },
    "CredentialService": {
        Access.PUBLIC: "RequestPasswordReset ResetPassword VerifyEmail",
        Access.USER: "RequestVerification",
        Access.SESSION: "ChangePassword ChangeEmail UpdateProfile",
    },
    "ApiTokenService": {
        Access.PUBLIC: "ExchangeApiToken",
        Access.SESSION: "CreateApiToken ListApiTokens RevokeApiToken",
    },
    "ModerationService": {
        Access.USER: "ReportContent",
        Access.ADMIN: "ListReports DecideReport ShowContent SuspendUser ReinstateUser SetRole ListAuditLog SearchUsers",
    },
    "PrivacyService": {
        Access.SESSION: "RequestExport GetExport DeleteAccount",
    },
    "LibraryService": {
        Access.PUBLIC: "SearchArtists SearchAlbums BatchGetArtists BatchGetAlbums ListTracksOfArtist ListTracksOfAlbum "
        "ListGenres BatchGetTrackDetails BatchListTracksOfArtists BatchListTracksOfAlbums "
        "BatchListAlbums",
    },
    "BlocklistService": {
        Access.USER: "BlockTrack UnblockTrack BlockArtist UnblockArtist ListBlocked",
    },
    "PeopleService": {
        Access.PUBLIC: "GetProfile BatchGetProfiles ListFollowers ListFollowing BatchGetFollowers BatchGetFollowing "
        "SearchPeople",
        Access.USER: "Follow Unfollow BlockUser UnblockUser ListBlockedUsers",
    },
    "FeedService": {
        Access.PUBLIC: "ListTrending ListLatest ListPlaylistsOfUser ListLikedPlaylists BatchListPlaylistsOfUsers "
        "BatchListLikedPlaylists SearchPlaylists",
        Access.USER: "ListFeed ListFollowedIds",
    },
    "NotificationService": {
        Access.USER: "ListNotifications CountUnread MarkRead",
    },
    "EditingService": {
        Access.PUBLIC: "BatchGetPlaylists GetPlaylistBySlug BatchListEntries",
        Access.USER: "CreatePlaylist AddEntries RemoveEntries MoveEntry ReorderEntries ReorderByTracks CopyPlaylist "
        "RotateShareSlug",
    },
    "EngagementService": {
        Access.PUBLIC: "ListComments ListLikers BatchGetComments BatchListComments BatchListLikers",
        Access.USER: "LikePlaylist UnlikePlaylist AddComment EditComment DeleteComment",
    },
    "ExchangeService": {
        Access.PUBLIC: "ExportPlaylist ResolveStreamToken",
        Access.USER: "ImportPlaylist CreateStreamToken ListStreamTokens RevokeStreamToken",
    },
    "ReferenceSearchService": {
        Access.USER: "SearchReference CreateHearingJob",
    },
    "SoundService": {
        Access.PUBLIC: "DescribeSearch",
        Access.USER: "SearchByWords GetPlaylistPreview",
    },
    "UploadService": {
        Access.USER: "CheckUpload ListMyUploads DeleteUpload GetUploadQuota",
    },
    "ListeningService": {
        Access.PUBLIC: "GetListening BatchGetListening",
        Access.USER: "RecordPlays ListHistory DeleteHistory",
    },
    "RecommendationService": {
        Access.USER: "ListRecommendedUsers ListRecommendedTracks GetDailyMix",
    },
    "BadgeService": {
        Access.PUBLIC: "ListBadges GetAvatar BatchGetBadges BatchGetAvatars",
    },
    "TrendService": {
        Access.ADMIN: "ListTrends ExportTrends",
    },
    "PlaylistJobService": {
        Access.USER: "CreateExtensionJob ListSuggestions JudgeSuggestions CreateRegenerationJob GetRecipe "
        "BatchGetRecipes SetSchedule ClearSchedule GetSchedule BatchGetSchedules ListMyJobs BatchGetJobs",
        Access.ADMIN: "ListJobs ReplayJobs",
    },
    "ViewService": {
        Access.PUBLIC: "CanView",
    },
    "IngestService": {
        Access.ADMIN: "ListRoots ListRootFiles MarkMissing ListEmbeddings ImportEmbeddings",
    },
}

ACCESS: dict[str, Access] = {
    f"/museed.social.v1.{service}/{name}": access
    for service, rows in _ROWS.items()
    for access, names in rows.items()
    for name in names.split()
}
