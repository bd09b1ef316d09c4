-- How people sign in: their sessions, the keys that sign access tokens, the second
-- factor, single-use tokens, and who they are to providers of identity elsewhere.
-- None of this is a clinic's.

-- One sign-in. Its refresh tokens are MACs over session and generation under refresh_key:
-- only the last generation counts, and an earlier one that comes back ends the session.
CREATE TABLE sessions (
    session_id  UUID PRIMARY KEY,
    user_id     UUID NOT NULL REFERENCES users (user_id),
    -- sealed; the purpose is 'session'
    refresh_key TEXT NOT NULL,
    generation  BIGINT NOT NULL,
    rotated_at  TIMESTAMPTZ NOT NULL,
    -- password, or the name of a provider
    means       TEXT NOT NULL,
    address     TEXT,
    device      TEXT,
    created_at  TIMESTAMPTZ NOT NULL,
    expires_at  TIMESTAMPTZ NOT NULL,
    revoked_at  TIMESTAMPTZ
);
CREATE INDEX sessions_by_user ON sessions (user_id, session_id);
CREATE INDEX sessions_by_end ON sessions (expires_at);

-- Ed25519; a key signs from signs_from until a younger one does, and verifies until expires_at.
CREATE TABLE signing_keys (
    signing_key_id UUID PRIMARY KEY,
    -- base64url of the 32 bytes (RFC 8037)
    public_key     TEXT NOT NULL,
    -- PKCS #8, sealed; the purpose is 'signing_key'
    private_key    TEXT NOT NULL,
    signs_from     TIMESTAMPTZ NOT NULL,
    -- NULL as long as no younger key stands in its place
    expires_at     TIMESTAMPTZ,
    created_at     TIMESTAMPTZ NOT NULL
);

-- RFC 6238; at most one for each person.
CREATE TABLE second_factors (
    user_id        UUID PRIMARY KEY REFERENCES users (user_id),
    -- 20 bytes, sealed; the purpose is 'second_factor'
    secret         TEXT NOT NULL,
    -- the last time step whose code was taken: no code counts twice
    last_step      BIGINT NOT NULL,
    created_at     TIMESTAMPTZ NOT NULL,
    -- NULL until the first code was right; before that it asks nothing of anybody
    confirmed_at   TIMESTAMPTZ
);

CREATE TABLE recovery_codes (
    code_sha256 TEXT PRIMARY KEY,
    user_id     UUID NOT NULL REFERENCES users (user_id)
);
CREATE INDEX recovery_codes_by_user ON recovery_codes (user_id);

-- What lets somebody in once: a new password (reset), or the first administrator (setup).
CREATE TABLE single_use_tokens (
    single_use_token_id UUID PRIMARY KEY,
    token_sha256 TEXT NOT NULL UNIQUE,
    purpose      TEXT NOT NULL,
    -- NULL for setup: nobody is there yet
    user_id      UUID REFERENCES users (user_id),
    -- for whoever sends it by mail; the purpose is 'single_use_token'; NULL where it was shown
    sealed       TEXT,
    created_at   TIMESTAMPTZ NOT NULL,
    expires_at   TIMESTAMPTZ NOT NULL
);
CREATE INDEX single_use_tokens_by_user ON single_use_tokens (user_id);

-- Who a person is to a provider of OpenID Connect.
CREATE TABLE external_identities (
    provider   TEXT NOT NULL,
    subject    TEXT NOT NULL,
    user_id    UUID NOT NULL REFERENCES users (user_id),
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (provider, subject)
);
CREATE INDEX external_identities_by_user ON external_identities (user_id);
