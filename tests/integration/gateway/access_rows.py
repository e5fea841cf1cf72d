"""Who may ask for which field: every field with a resolver of its own has a row, judged by hand.

Fields without a resolver show what came with their parent, and nobody else can get there.
"""

from enum import Enum

from services.chassis.auth import Access
from services.chassis.scopes import Scope


class Need(Enum):
    """What a field asks of its caller, beyond what its parents did."""

    FREE = None, None  # made of what is there
    TOKENLESS = None, None, "whoever asks, and be their token dead"
    OWN = Access.USER, Scope.READ, "null for guests"
    PUBLIC_READ = Access.PUBLIC, Scope.READ
    PUBLIC_WRITE = Access.PUBLIC, Scope.WRITE
    USER_READ = Access.USER, Scope.READ
    USER_WRITE = Access.USER, Scope.WRITE
    SESSION_READ = Access.SESSION, Scope.READ
    SESSION_WRITE = Access.SESSION, Scope.WRITE
    ADMIN = Access.ADMIN, Scope.ADMIN

    @property
    def access(self) -> Access | None:
        """Who is let in; None for everybody."""
        access: Access | None = self.value[0]
        return access

    @property
    def scope(self) -> Scope | None:
        """What API tokens need."""
        scope: Scope | None = self.value[1]
        return scope


_ROWS: dict[Need, str] = {
    Need.TOKENLESS: """
        Mutation.signUp Mutation.logIn Mutation.refresh Mutation.requestPasswordReset Mutation.resetPassword
        Mutation.verifyEmail Mutation.exchangeApiToken
        """,
    Need.OWN: "Query.me Playlist.recipe Playlist.schedule",
    Need.FREE: """
        IngestProgress.total Track.id Track.tags Track.streamUrl User.id User.avatarUrl Playlist.id Playlist.shareUrl
        Playlist.exportUrl Comment.id Job.id Job.isFinished CreateStreamTokenSuccess.exportUrl
        Track.coverUrl Artist.id Album.id Album.coverUrl Upload.id Upload.tags Upload.streamUrl DataExport.id Viewer.id
        Notification.id Session.id ApiToken.id StreamToken.id Report.id Root.id HistoryEntry.id Activity.id
        PlaylistPreview.tracks PlaylistEntry.id
        """,
    Need.PUBLIC_READ: """
        Query.stats Query.trendingPlaylists Query.latestPlaylists Query.user Query.node Query.nodes Query.likedPlaylists
        Query.playlistsOfUser Query.playlist Query.playlistByShareSlug Query.track Query.searchTracks
        Query.similarTracks Query.searchUsers Query.searchPlaylists
        AddCommentSuccess.playlist DeleteCommentSuccess.playlist ShowContentSuccess.playlist
        ShowContentSuccess.comment UnblockTrackSuccess.track UnblockArtistSuccess.artist
        FailedTrack.track DeadLetter.track Stats.index User.avatar User.profile User.followers User.following
        User.playlists User.badges User.listening TrackPlays.track RecommendedTrack.track RecommendedTrack.becauseTrack
        User.likedPlaylists
        HistoryEntry.track HistoryEntry.playlist Playlist.owner Playlist.copiedFrom Playlist.comments Playlist.likers
        Playlist.entries Comment.author Comment.playlist PlaylistEntry.addedBy PlaylistEntry.track RecipeSeed.track
        RecipePath.toTrack Notification.actor Notification.playlist Activity.actor Activity.playlist Activity.user
        Job.playlist OwnedJob.owner Suggestion.track RecordedPlay.track FollowUserSuccess.user
        UnfollowUserSuccess.user BlockUserSuccess.user UnblockUserSuccess.user GeneratePlaylistSuccess.playlist
        RegeneratePlaylistSuccess.playlist JudgeSuggestionsSuccess.playlist SchedulePlaylistSuccess.playlist
        UnschedulePlaylistSuccess.playlist User.relation
        Query.genres Query.album Query.searchAlbums Query.artist Query.searchArtists Track.details TrackDetails.artist
        TrackDetails.album Artist.tracks Artist.albums Album.artist Album.tracks BlockedTrack.track
        BlockTrackSuccess.track BlockArtistSuccess.artist Subscription.playlistChanges BlockedArtist.artist
        ArtistPlays.artist Notification.comment Activity.comment
        PreviewTrack.track Query.searchAbilities
        AuditEntry.actor Report.reporter Report.subjectOwner Report.decidedBy
        """,
    Need.USER_READ: """
        Query.recommendedUsers Query.recommendedTracks Query.dailyMix Query.history Query.notifications
        Query.unreadNotificationCount Query.feed Query.blockedUsers Query.job Query.myJobs Query.suggestions
        Query.streamTokens Query.myPlaylists Query.uploadQuota Notification.job
        EntryReason.nearestSeed SeedSimilarity.seed
        ExtendPlaylistSuccess.suggestions
        Query.referenceSearch Query.searchByWords Query.playlistPreview
        Query.upload Query.myUploads Query.myBlockedTracks Query.myBlockedArtists
        Query.mySessions HearUploadSuccess.upload NotificationEvent.unreadCount
        Subscription.jobProgress Subscription.feed Subscription.notifications
        """,
    Need.USER_WRITE: """
        Mutation.recordPlays Mutation.deleteHistory Mutation.markNotificationsRead Mutation.followUser
        Mutation.unfollowUser Mutation.blockUser Mutation.unblockUser Mutation.cancelJob Mutation.generatePlaylist
        Mutation.regeneratePlaylist Mutation.extendPlaylist Mutation.judgeSuggestions Mutation.schedulePlaylist
        Mutation.unschedulePlaylist Mutation.createStreamToken Mutation.revokeStreamToken Mutation.addComment
        Mutation.editComment Mutation.deleteComment Mutation.likePlaylist Mutation.unlikePlaylist
        Mutation.createPlaylist Mutation.copyPlaylist Mutation.importPlaylist Mutation.updatePlaylist
        Mutation.deletePlaylist Mutation.addPlaylistEntries Mutation.removePlaylistEntries Mutation.movePlaylistEntry
        Mutation.reorderPlaylist Mutation.rotateShareSlug Mutation.logOut Mutation.reportContent
        Mutation.requestEmailVerification Mutation.deleteUpload Mutation.hearUpload Mutation.blockTrack
        Mutation.unblockTrack Mutation.blockArtist Mutation.unblockArtist
        """,
    Need.SESSION_READ: "Query.dataExport Query.myApiTokens",
    Need.SESSION_WRITE: """
        Mutation.requestDataExport Mutation.deleteAccount Mutation.createApiToken Mutation.revokeApiToken
        Mutation.revokeSession Mutation.revokeOtherSessions Mutation.changePassword Mutation.changeEmail
        Mutation.updateProfile
        """,
    Need.ADMIN: """
        Query.ingestProgress Query.failedTracks Query.roots Query.rootFiles Query.storedVectors Query.encoders
        Query.streams Query.deadLetters Query.trends Query.jobs Query.searchAccounts Query.auditLog Query.reports
        Query.trendsUrl
        Mutation.registerRoot Mutation.registerTracks Mutation.markMissing Mutation.importVectors
        Mutation.switchEncoder Mutation.rollbackEncoder Mutation.replayDeadLetters Mutation.replayJobs
        Mutation.suspendUser Mutation.reinstateUser Mutation.setRole Mutation.showContent Mutation.decideReport
        """,
}

ROWS: dict[str, Need] = {name: need for need, names in _ROWS.items() for name in names.split()}
