"""What the pages of a client ask for, each in one document, and what it costs upstream."""

from tests.fakes.answers import made_up_id

PLAYLIST, TRACK, USER, ALBUM, ARTIST = (
    f'"{made_up_id(name)}"' for name in ("playlist_id", "track_id", "user_id", "album_id", "artist_id")
)
CARD = "playlistId title entryCount durationSeconds likeCount isLiked owner { username avatarUrl }"
SONG = "trackId title artist album durationSeconds coverUrl streamUrl"

# By page: the document, and the calls that it costs, whatever the length of its lists.
PAGES: dict[str, tuple[str, dict[str, int]]] = {
    "start": (
        f"""{{ trendingPlaylists {{ nodes {{ {CARD} }} }} latestPlaylists {{ nodes {{ title likeCount }} }}
          genres {{ name trackCount }} stats {{ trackCount playlistCount userCount }} }}""",
        {"ListTrending": 1, "ListLatest": 1, "ListGenres": 1, "GetStats": 1, "BatchGetUsers": 1},
    ),
    "playlist": (
        f"""{{ playlist(id: {PLAYLIST}) {{ {CARD} description hasRecipe shareUrl
          entries {{ edges {{ cursor node {{ entryId position isSeed track {{ {SONG} }} addedBy {{ username }} }} }} }}
          comments {{ nodes {{ text author {{ username }} }} }} likers {{ edges {{ likedAt }} }} }} }}""",
        {"GetPlaylist": 1, "BatchGetUsers": 2, "BatchListComments": 1, "BatchListLikers": 1, "BatchGetTracks": 1},
    ),
    "who likes a playlist": (
        f"""{{ playlist(id: {PLAYLIST}) {{ likeCount
          likers {{ edges {{ likedAt node {{ username avatarUrl }} }} }} }} }}""",
        {"GetPlaylist": 1, "BatchListLikers": 1},
    ),
    "what one heard": (
        """{ me { user { listening { playCount topTracks { playCount track { title } } topArtists { name } } } } }""",
        {"GetViewer": 1, "GetListening": 1, "BatchGetTracks": 1},
    ),
    "why each track is there": (
        f"""{{ playlist(id: {PLAYLIST}) {{ entries {{ nodes {{ track {{ title }} reason {{
          similarity quantile sharedTags nearestSeed {{ track {{ title }} }}
          seedSimilarities {{ place similarity seed {{ weight track {{ title }} }} }} }} }} }} }} }}""",
        {"GetPlaylist": 1, "BatchGetTracks": 1, "BatchGetRecipes": 1},
    ),
    "recipe": (
        f"""{{ playlist(id: {PLAYLIST}) {{ title schedule {{ every nextAt }} recipe {{
          length arrangement seeds {{ weight track {{ {SONG} }} }} path {{ toTrack {{ title }} }}
          filter {{ genres artists year {{ min max }} }} }} }}
 }}""",
        {"GetPlaylist": 1, "BatchGetSchedules": 1, "BatchGetRecipes": 1, "BatchGetTracks": 1},
    ),
    "suggestions": (
        f"""{{ suggestions(playlistId: {PLAYLIST}) {{ nodes {{ state similarity track {{ {SONG} }} }} }} }}""",
        {"ListSuggestions": 1, "BatchGetTracks": 1},
    ),
    "own playlists with their first tracks": (
        f"""{{ me {{ user {{ username }} }} myPlaylists {{ nodes {{ {CARD} visibility hasRecipe schedule {{ every }}
          recipe {{ length }} entries(first: 4) {{ nodes {{ track {{ coverUrl }} }} }} }} }} }}""",
        {
            "GetViewer": 1,
            "ListMyPlaylists": 1,
            "BatchGetUsers": 1,
            "BatchGetSchedules": 1,
            "BatchGetRecipes": 1,
            "BatchListEntries": 1,
            "BatchGetTracks": 1,
        },
    ),
    "person": (
        f"""{{ user(id: {USER}) {{ username nickname avatarUrl relation {{ isFollowing }}
          profile {{ followerCount followingCount playCount topGenre listened {{ genre share }} }}
          badges {{ name tiers {{ tier earnedAt }} }} followers(first: 10) {{ nodes {{ username avatarUrl }} }} }}
          playlistsOfUser(userId: {USER}) {{ nodes {{ {CARD} }} }}
          likedPlaylists(userId: {USER}) {{ edges {{ likedAt node {{ title likeCount }} }} }} }}""",
        {
            "ListPlaylistsOfUser": 1,
            "ListLikedPlaylists": 1,
            "GetProfile": 1,
            "BatchGetUsers": 1,
            "ListBadges": 1,
            "ListFollowers": 1,
        },
    ),
    "followers with what they are": (
        f"""{{ user(id: {USER}) {{ followers {{ edges {{ followedAt node {{ username relation {{ isFollowing }}
          profile {{ followerCount }} badges {{ name }} }} }} }} }} }}""",
        {"GetProfile": 1, "ListFollowers": 1, "BatchGetBadges": 1, "BatchGetProfiles": 1},
    ),
    "feed": (
        f"""{{ feed {{ nodes {{ kind at actor {{ username avatarUrl }} user {{ username }} playlist {{ {CARD} }} }} }}
          unreadNotificationCount }}""",
        {"ListFeed": 1, "CountUnread": 1, "BatchGetUsers": 2, "BatchGetPlaylists": 1},
    ),
    "notifications": (
        """{ notifications { nodes { kind at readAt actor { username } playlist { title } } } }""",
        {"ListNotifications": 1, "BatchGetUsers": 1, "BatchGetPlaylists": 1},
    ),
    "history": (
        f"""{{ history {{ nodes {{ playedAt heardSeconds track {{ {SONG} }} playlist {{ title }} }} }}
 }}""",
        {"ListHistory": 1, "BatchGetTracks": 1, "BatchGetPlaylists": 1},
    ),
    "for you": (
        f"""{{ recommendedTracks {{ nodes {{ track {{ {SONG} }} }} }}
          recommendedUsers {{ edges {{ similarity node {{ username profile {{ topGenre }} }} }} }} }}""",
        {"ListRecommendedTracks": 1, "ListRecommendedUsers": 1, "BatchGetTracks": 1, "BatchGetProfiles": 1},
    ),
    "daily mix": (
        f"""{{ dailyMix {{ day tracks {{ track {{ {SONG} }} }} }} }}""",
        {"GetDailyMix": 1, "BatchGetTracks": 1},
    ),
    "search": (
        f"""{{ searchTracks(query: "rain") {{ nodes {{ {SONG} details {{ isrc }} }} }}
          searchArtists(query: "rain") {{ nodes {{ name trackCount tracks(first: 3) {{ nodes {{ title }} }} }} }}
          searchAlbums(query: "rain") {{ nodes {{ title artist {{ name }} coverUrl }} }} }}""",
        {
            "SearchTracks": 1,
            "SearchArtists": 1,
            "SearchAlbums": 1,
            "BatchGetTrackDetails": 1,
            "BatchListTracksOfArtists": 1,
            "BatchGetArtists": 1,
            "BatchGetTracks": 1,
        },
    ),
    "track": (
        f"""{{ track(id: {TRACK}) {{ {SONG} genre tags {{ name score }} descriptors {{ tempoBpm key }}
          details {{ isrc subGenres artist {{ name }} album {{ title }} }} }}
          similarTracks(trackId: {TRACK}) {{ edges {{ similarity node {{ {SONG} }} }} }} }}""",
        {"BatchGetTracks": 2, "BatchGetTrackDetails": 1, "BatchGetArtists": 1, "BatchGetAlbums": 1, "Search": 1},
    ),
    "artist": (
        f"""{{ artist(id: {ARTIST}) {{ name tracks {{ nodes {{ {SONG} }} }}
          albums {{ nodes {{ title year tracks(first: 5) {{ nodes {{ title }} }} }} }} }} }}""",
        {
            "BatchGetArtists": 1,
            "BatchListTracksOfArtists": 1,
            "BatchListAlbums": 1,
            "BatchGetTracks": 1,
            "BatchListTracksOfAlbums": 1,
        },
    ),
    "album": (
        f"""{{ album(id: {ALBUM}) {{ title year artist {{ name }}
          tracks {{ nodes {{ {SONG} details {{ isrc licence }} }} }} }} }}""",
        {
            "BatchGetAlbums": 1,
            "BatchGetArtists": 1,
            "BatchListTracksOfAlbums": 1,
            "BatchGetTracks": 1,
            "BatchGetTrackDetails": 1,
        },
    ),
    "reference search": (
        f"""{{ referenceSearch(trackId: {TRACK}) {{ edges {{ similarity quantile sharedTags
          segments {{ similarity }} node {{ {SONG} details {{ licence }} }} }} }} }}""",
        {"SearchReference": 1, "BatchGetTracks": 1, "BatchGetTrackDetails": 1},
    ),
    "words": (
        f"""{{ searchByWords(words: "calm piano") {{ prompt edges {{ similarity node {{ {SONG} }} }} }} }}""",
        {"SearchByWords": 1, "BatchGetTracks": 1},
    ),
    "preview": (
        f"""{{ playlistPreview(recipe: {{ seeds: [{{ words: "calm piano" }}] }}) {{ trackCount removed {{ rule count }}
            tracks {{ nodes {{ similarity seedSimilarities track {{ {SONG} }} }} }} }} }}""",
        {"GetPlaylistPreview": 1, "BatchGetTracks": 1},
    ),
    "search for playlists": (
        f"""{{ searchPlaylists(query: "jazz") {{ nodes {{ {CARD} }} }} }}""",
        {"SearchPlaylists": 1, "BatchGetUsers": 1},
    ),
    "jobs of one's own": (
        """{ myJobs { nodes { kind state progress stage { unit done total } etaSeconds failureMessage
          playlist { title owner { username } } } } myUploads { nodes { fileName isHeard } } }""",
        {"ListMyJobs": 1, "ListMyUploads": 1, "BatchGetPlaylists": 1, "BatchGetUsers": 1},
    ),
    "what one does not want to hear or see": (
        """{ myBlockedTracks { nodes { blockedAt track { title } } } myBlockedArtists { nodes { artist { name } } }
          blockedUsers { nodes { username } } }""",
        {"ListBlocked": 2, "ListBlockedUsers": 1, "BatchGetTracks": 1, "BatchGetArtists": 1},
    ),
    "sessions and keys": (
        """{ me { email role } mySessions { nodes { sessionId } } myApiTokens { nodes { tokenId name scopes } } }""",
        {"GetViewer": 1, "ListSessions": 1, "ListApiTokens": 1},
    ),
    "jobs of everybody": (
        """{ jobs(state: FAILED) { nodes { owner { username } job { kind failureReason playlist { title } } } }
          deadLetters { nodes { reason } } failedTracks { nodes { reason track { title } } } }""",
        {
            "ListJobs": 1,
            "ListDeadLetters": 1,
            "ListFailedTracks": 1,
            "BatchGetUsers": 1,
            "BatchGetPlaylists": 1,
            "BatchGetTracks": 1,
        },
    ),
    "moderation": (
        """{ reports { nodes { reason text reporter { username } subjectOwner { username } decidedBy { username } } }
          searchAccounts(query: "a") { nodes { email user { username } } } }""",
        {"ListReports": 1, "SearchUsers": 1, "BatchGetUsers": 1},
    ),
    "what admins did": (
        """{ auditLog { nodes { action because actor { username } } } }""",
        {"ListAuditLog": 1, "BatchGetUsers": 1},
    ),
    "trends": (
        """{ trends(dimension: GENRE, fromDay: "2026-01-01", toDay: "2026-01-31") {
          nodes { day subject label playCount } } encoders { name trackCount } streams { name messageCount } }""",
        {"ListTrends": 1, "ListEncoders": 1, "ListStreams": 1},
    ),
}
