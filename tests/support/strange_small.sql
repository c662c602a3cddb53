-- A few tables under names that need quoting, with comments that would be run if they were not escaped.
create schema "Sales-Ü";
create table "Sales-Ü"."Kunden" (
    "Kunden-Nr" bigint primary key, "Größe (cm)" numeric(6,2), "order" text not null, "case" boolean,
    deleted_at timestamptz, "say ""hi""" text, "{{ x }}" text, "geändert am" timestamptz not null
);
comment on table "Sales-Ü"."Kunden" is
    'All {{ env_var(''NOBODY_SETS_THIS'') }} customers'': "quoted" # and {% raw %}
on two lines {# so #} it goes';
comment on column "Sales-Ü"."Kunden"."order" is '{{ env_var(''NOBODY_SETS_THIS'') }}: - [x] # y';
create function "Sales-Ü".touch() returns trigger language plpgsql as $$
    begin new."geändert am" := now(); return new; end $$;
create trigger touch before insert or update on "Sales-Ü"."Kunden"
    for each row execute function "Sales-Ü".touch();
create index on "Sales-Ü"."Kunden" ("geändert am");
create table "Sales-Ü"."order" (
    "Id" int primary key, "Kunde" bigint not null references "Sales-Ü"."Kunden", "select" jsonb,
    last_update timestamp
);
insert into "Sales-Ü"."Kunden" values
    (1, 12.50, 'a', true, null, 'x', 'y', now()), (2, 'NaN', 'Ü "quoted"', null, now(), null, '', now());
insert into "Sales-Ü"."order" values
    (1, 1, '{"a": 1.0}', '2024-02-29 12:00:00.123456'), (2, 2, null, 'infinity'), (3, 2, '[]', null);
