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
update events set account = substr(target, 14, 12) where target like 'arn:aws:iam::%';
update events set account = substr(target, 17, 12) where target like 'arn:aws-cn:iam::%';
update events set account = substr(target, 19, 12) where target like 'arn:aws-eusc:iam::%';
update events set account = substr(target, 21, 12) where target like 'arn:aws-us-gov:iam::%';
create index events_account on events (account, time, id);
create index events_username on events (username, time, id);
create index events_action on events (action, time, id);
create index events_outcome on events (outcome, time, id);
