-- +goose Up
-- What AWS was asked for, as people and those who look after them want to know
-- it. Each change is in one transaction with its event.
create table role_sessions (
    id               text   not null primary key,
    provider         text   not null,
    subject_id       text   not null,
    username         text   not null,
    session          text   not null,
    program          text   not null,
    used_for         text   not null,
    assignment       text   not null,
    account          text   not null,
    role             text   not null,
    role_arn         text   not null,
    via              text   not null,
    state            text   not null,
    session_name     text   not null,
    source_identity  text   not null,
    access_key_id    text   not null,
    assumed_role_arn text   not null,
    asked_at         bigint  not null,
    issued_at        bigint  not null,
    expires_at       bigint  not null,
    ended_at         bigint  not null
);
create index role_sessions_subject on role_sessions (provider, subject_id, asked_at);
create index role_sessions_asked on role_sessions (asked_at);
create index role_sessions_key on role_sessions (access_key_id);
-- What was used before is still what people use often; none of it is open.
insert into role_sessions (id, provider, subject_id, username, session, program, used_for, assignment, account, role, role_arn, via, state,
    session_name, source_identity, access_key_id, assumed_role_arn, asked_at, issued_at, expires_at, ended_at)
select id, provider, subject_id, username, '', '', action, '', account, '', target, '', 'live', '', '', '', '', time, time, time, 0
from events where outcome = 'ok' and action in ('console.open', 'credentials.issue');
