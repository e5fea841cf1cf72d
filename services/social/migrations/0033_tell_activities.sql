-- What feeds tell is told as it is written, whichever release writes it and in whatever way: the message is made here,
-- in the wire format of protocol buffers (protobuf.dev/programming-guides/encoding).
CREATE FUNCTION proto_varint(value bigint) RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    made bytea := '';
    rest bigint := value;
BEGIN
    WHILE rest > 127 LOOP
        made := made || set_byte('\x00', 0, (rest & 127 | 128)::integer);
        rest := rest >> 7;
    END LOOP;
    RETURN made || set_byte('\x00', 0, rest::integer);
END $$;

-- A number; nothing where it is 0.
CREATE FUNCTION proto_number(field integer, value bigint) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN value = 0 THEN '' ELSE proto_varint(field << 3) || proto_varint(value) END
$$;

-- Bytes, which a text or a message is as well; nothing where there are none.
CREATE FUNCTION proto_bytes(field integer, body bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN coalesce(length(body), 0) = 0 THEN ''
        ELSE proto_varint(field << 3 | 2) || proto_varint(length(body)) || body
    END
$$;

-- museed.social.v1.ActivityRecorded. Each has a key of its own: activities are told in no order.
CREATE FUNCTION tell_activity() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    micros bigint := (extract(epoch FROM NEW.at) * 1000000)::bigint;
    kind_number integer := array_position(ARRAY['CREATED', 'LIKED', 'SAVED', 'FOLLOWED', 'COMMENTED'], NEW.kind);
BEGIN
    INSERT INTO outbox (kind, key, event_id, subject, payload)
    VALUES ('event', NEW.activity_id::text, uuidv7(), 'museed.social.v1.activity_recorded', proto_bytes(
        1,
        proto_bytes(1, convert_to(NEW.activity_id::text, 'UTF8'))
            || proto_number(2, kind_number)
            || proto_bytes(3, convert_to(NEW.actor_id::text, 'UTF8'))
            || proto_bytes(4, convert_to(NEW.playlist_id::text, 'UTF8'))
            || proto_bytes(5, convert_to(NEW.user_id::text, 'UTF8'))
            || proto_bytes(6, convert_to(NEW.comment_id::text, 'UTF8'))
            || proto_bytes(7, proto_number(1, micros / 1000000) || proto_number(2, micros % 1000000 * 1000))
    ));
    RETURN NULL;
END $$;
CREATE TRIGGER activities_tell AFTER INSERT ON activities FOR EACH ROW EXECUTE FUNCTION tell_activity();
