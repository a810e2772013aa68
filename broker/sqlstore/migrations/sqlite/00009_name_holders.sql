-- +goose Up
-- Whose a name is, of whatever kind: one person's SourceIdentity must not be
-- another's RoleSessionName. Where two hold one from before, it is the first's.
create table name_holders (
    folded     text not null primary key,
    provider   text not null,
    subject_id text not null
) strict;
insert into name_holders (folded, provider, subject_id)
select n.folded, n.provider, n.subject_id from names n where not exists (
    select 1 from names o where o.folded = n.folded and (o.claimed_at < n.claimed_at or o.claimed_at = n.claimed_at and o.kind < n.kind));
create index name_holders_subject on name_holders (provider, subject_id);
