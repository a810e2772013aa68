-- +goose Up

create table state (
    key        text not null primary key,
    value      blob not null,
    expires_at integer not null
) strict;
create index state_expires_at on state (expires_at);

create table sessions (
    key           text not null primary key,
    provider      text not null,
    subject_id    text not null,
    name_id       text not null,
    session_index text not null,
    created_at    integer not null,
    last_used_at  integer not null,
    expires_at    integer not null,
    body          blob not null
) strict;
create index sessions_subject on sessions (provider, subject_id);
create index sessions_name_id on sessions (provider, name_id);
create index sessions_session_index on sessions (provider, session_index);
create index sessions_expires_at on sessions (expires_at);

-- A name stays its subject's in CloudTrail for ever: it is deleted only when an
-- operator releases it.
create table names (
    kind       text not null,
    folded     text not null,
    name       text not null,
    provider   text not null,
    subject_id text not null,
    claimed_at integer not null,
    primary key (kind, folded),
    unique (kind, provider, subject_id)
) strict;

create table identities (
    provider       text not null,
    subject_id     text not null,
    subject_folded text not null,
    username       text not null,
    email          text not null,
    seen_at        integer not null,
    body           blob not null,
    primary key (provider, subject_id)
) strict;
create index identities_username on identities (username);
create index identities_email on identities (email);
create index identities_subject_folded on identities (subject_folded);
create index identities_seen_at on identities (seen_at);

create table events (
    id         text not null primary key,
    time       integer not null,
    action     text not null,
    outcome    text not null,
    code       text not null,
    provider   text not null,
    subject_id text not null,
    username   text not null,
    target     text not null,
    request_id text not null,
    trace_id   text not null,
    remote     text not null,
    detail     text not null
) strict;
create index events_time on events (time, id);
create index events_subject on events (provider, subject_id, time);
create index events_trace_id on events (trace_id);
