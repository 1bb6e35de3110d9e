-- Sign-ins of the dashboard: a browser holds 256 random bits in a cookie, and only their SHA-256 is here.

CREATE TABLE sessions (
  hash       bytea PRIMARY KEY,
  user_id    integer NOT NULL REFERENCES users (id) ON UPDATE CASCADE ON DELETE CASCADE,
  created_at timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz(3) NOT NULL,
  CONSTRAINT session_hash_is_sha256 CHECK (length(hash) = 32),
  CONSTRAINT a_session_ends_after_it_begins CHECK (expires_at > created_at)
);
CREATE INDEX sessions_user_id_idx ON sessions (user_id);
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);

-- A user is disabled, and a password changed, in more than one place, and by hand. Whoever does it means the sessions too.

CREATE FUNCTION end_the_sessions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM sessions WHERE user_id = NEW.id;
  RETURN NULL;
END $$;

CREATE TRIGGER sessions_end_with_their_password AFTER UPDATE OF password_hash, disabled_at ON users
  FOR EACH ROW WHEN (OLD.password_hash IS DISTINCT FROM NEW.password_hash OR NEW.disabled_at IS NOT NULL)
  EXECUTE FUNCTION end_the_sessions();
