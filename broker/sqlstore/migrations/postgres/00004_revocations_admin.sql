-- +goose Up

-- Sessions of a subject that began at or before revoked_before have ended.
create table revocations (
    provider       text not null,
    subject_id     text not null,
    revoked_before bigint not null,
    primary key (provider, subject_id)
);
create index sessions_created_at on sessions (created_at, key);

-- The account in the target, so that events are found by it. Events of before
-- have their target's.
alter table events add column account text not null default '';
update events set account = split_part(target, ':', 5) where target like 'arn:%:iam::%:role/%';
create index events_account on events (account, time, id);
create index events_username on events (username, time, id);
create index events_action on events (action, time, id);
create index events_outcome on events (outcome, time, id);
