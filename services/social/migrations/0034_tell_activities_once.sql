-- The events of what people do carry what feeds tell of it (social's store/activities.py).
DROP TRIGGER activities_tell ON activities;
DROP FUNCTION tell_activity();
DROP FUNCTION proto_bytes(integer, bytea);
DROP FUNCTION proto_number(integer, bigint);
DROP FUNCTION proto_varint(bigint);
