-- +goose Up

create table favourites (
    provider   text not null,
    subject_id text not null,
    assignment text not null,
    added_at   bigint not null,
    primary key (provider, subject_id, assignment)
);
