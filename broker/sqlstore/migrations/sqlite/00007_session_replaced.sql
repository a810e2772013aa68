-- +goose Up

-- The key that a session had before its token was changed: who ends that key
-- ends the session.
alter table sessions add column replaced text not null default '';
create index sessions_replaced on sessions (replaced) where replaced <> '';
