-- +goose Up

-- Bodies are sealed; version counts the changes of a row.
create table factors (
    id           text not null primary key,
    provider     text not null,
    subject_id   text not null,
    kind         text not null,
    name         text not null,
    created_at   integer not null,
    last_used_at integer not null,
    version      integer not null,
    body         blob not null
) strict;
create index factors_subject on factors (provider, subject_id, created_at);
