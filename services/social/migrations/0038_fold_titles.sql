-- What a title is searched by: a space before each word, no case, no accents, no apostrophes, Hangul as its letters (of
-- which two syllables have enough for the index below). Done here, since any release writes titles. No SQL function:
-- the planner would look into it, and take it for cheap.
CREATE FUNCTION search_words(name text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 200 AS $$
BEGIN
    name := translate(name, E'''`\u00B4\u02BB\u02BC\u2018\u2019\uFF07\uFF40', '');
    IF octet_length(name) > length(name) THEN
        name := lower(regexp_replace(normalize(name, NFKD), '[\u0300-\u036F\uFE00-\uFE0F]', '', 'g'));
        name := translate(name, E'\u00F8\u0142\u0111\u00F0\u0131\u0127\u0167\u014B', 'olddihtn');
        name := replace(replace(replace(replace(
            name, E'\u00DF', 'ss'), E'\u00E6', 'ae'), E'\u0153', 'oe'), E'\u00FE', 'th');
        name := regexp_replace(name, '[\u007F-\u00BF\u2010-\u205E\u3000-\u303F]', ' ', 'g');
    END IF;
    name := regexp_replace(lower(name), '[\u0001-\u002F\u003A-\u0040\u005B-\u0060\u007B-\u007F]+', ' ', 'g');
    RETURN left(' ' || btrim(name), 600);
END $$;
