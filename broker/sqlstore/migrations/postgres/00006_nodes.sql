-- +goose Up

create table nodes (
    id         text not null primary key,
    key_ids    text not null,
    expires_at bigint not null
);
