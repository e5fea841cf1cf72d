"""The documents of what people ask for."""

LIST = """playlistId title version entries(first: 100) { nodes { entryId trackId } }"""
LOG_IN = """mutation($input: LogInInput!) { logIn(input: $input) {
  ... on LogInSuccess { tokens { accessToken } } ... on UserError { __typename code message } } }"""
SIGN_UP = """mutation($input: SignUpInput!) { signUp(input: $input) {
  ... on SignUpSuccess { viewer { user { userId } } tokens { accessToken } }
  ... on UserError { __typename code message } } }"""


def mutation(name: str, wanted: str) -> str:
    """Return the document of a mutation that takes one input."""
    kind = name[0].upper() + name[1:]
    return f"""mutation($input: {kind}Input!) {{ {name}(input: $input) {{
      ... on {kind}Success {{ {wanted} }} ... on UserError {{ __typename code message }} }} }}"""


CREATE = mutation("createPlaylist", f"playlist {{ {LIST} }}")
ADD = mutation("addPlaylistEntries", "playlist { version } entries { entryId trackId }")
RENAME = mutation("updatePlaylist", "playlist { version }")
REMOVE = mutation("removePlaylistEntries", "playlist { version }")
DELETE = mutation("deletePlaylist", "deletedPlaylistId")
LIKE = mutation("likePlaylist", "playlist { playlistId }")
UNLIKE = mutation("unlikePlaylist", "playlist { playlistId }")
FOLLOW = mutation("followUser", "userId")
UNFOLLOW = mutation("unfollowUser", "userId")
COMMENT = mutation("addComment", "comment { commentId }")
PLAY = mutation("recordPlays", "plays { outcome }")
GENERATE = mutation("generatePlaylist", "job { jobId }")
CANCEL = mutation("cancelJob", "job { state }")
ME = "{ me { user { userId } } }"
READ = f"query($id: ID!) {{ playlist(id: $id) {{ {LIST} }} }}"
OWN_LISTS = "{ myPlaylists(first: 100) { pageInfo { hasNextPage } nodes { playlistId title version entryCount } } }"
OWN_LIKES = "{ likedPlaylists(first: 100) { pageInfo { hasNextPage } nodes { playlistId } } }"
FOLLOWED = "query($id: ID!) { user(id: $id) { following(first: 100) { nodes { userId } } } }"
JOB = "query($id: ID!) { job(id: $id) { state playlistId } }"
COMMENTS = "comments(first: 100) { nodes { commentId text } }"
WHOLE_LIST = f"query($id: ID!) {{ playlist(id: $id) {{ {LIST} visibility likeCount {COMMENTS} }} }}"
UPLOAD = "query($id: ID!) { upload(id: $id) { streamUrl } }"
TRACK = "query($id: ID!) { track(id: $id) { embeddingState title failureReason } }"
REGISTER = mutation("registerTracks", "tracks { trackId outcome reason }")
SIMILAR = "query($id: ID!) { similarTracks(trackId: $id, first: 5) { nodes { trackId } } }"
