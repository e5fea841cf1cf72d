-- What is popular stands in playlist_heat; nothing ever wrote or read this one.
ALTER TABLE playlist_counts DROP COLUMN score;
