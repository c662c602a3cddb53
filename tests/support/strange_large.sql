-- Every type and whatever can be a name; strange_database.py fills in what stands between at signs.
create schema hstrange;
create type hstrange.mood as enum ('sad, maybe', 'happy');
create type hstrange.pair as (a int, b text);
create domain hstrange.positive as int check (value > 0);
create domain hstrange.cents as numeric(10,2);
create table hstrange."every type" (id int primary key, @columns@, updated_at timestamptz not null);
insert into hstrange."every type" values @rows@, @nothing@;
create table hstrange.keywords (
    id int primary key, @words@, updated_at timestamptz not null default now());
insert into hstrange.keywords (id, "select", "from") values (1, 2, 3);
create table hstrange."@long@" (
    "@long@" text collate "C", b date, "@short@x" int not null, updated_at timestamptz not null,
    primary key ("@long@", b));
insert into hstrange."@long@" values
    ('a,b', '2024-01-01', 1, now()), ('a', '2024-01-01', 2, now()), ('', '0001-01-01', 3, now());
create table hstrange."Orders" (id int primary key, updated_at timestamptz not null);
create table hstrange.orders (id int primary key, updated_at timestamptz not null);
create table "Sales-Ü".orders (id int primary key, updated_at timestamptz not null);
insert into hstrange."Orders" values (1, now());
insert into hstrange.orders values (2, now());
insert into "Sales-Ü".orders values (3, now());
create table hstrange."Käse.""Brot""; drop table x --" (
    " " int primary key, "	tab" text, "a.b" text, "%s" text, "$1" text, "null" text, "yes" text,
    "'" text, "\" text, "#" text, "表" text, is_deleted boolean, place text, broken_rules text,
    _x text, "x" text, "ｘ" text, "X-1" text, updated_at timestamptz not null);
insert into hstrange."Käse.""Brot""; drop table x --"
    select g, g || 't', 'ab', '%', '$', 'n', 'y', '''', '\', '#', '表', true, 'p', 'b', '_', 'x', 'w',
        '1', now() from generate_series(1, 3) as g;
create table hstrange."-" (id uuid primary key, updated_at timestamptz not null);
insert into hstrange."-" values ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', now());
create table hstrange.parts (
    id int, day date, boss int, updated_at timestamptz not null, primary key (id, day)
) partition by range (day);
create table hstrange.parts_24 partition of hstrange.parts
    for values from ('2024-01-01') to ('2025-01-01');
insert into hstrange.parts select g, '2024-05-05', 1, now() from generate_series(1, 50) as g;
create table hstrange.tree (
    id int primary key, parent int references hstrange.tree, updated_at timestamptz not null);
insert into hstrange.tree values (1, null, now()), (2, 1, now());
create table hstrange.empty (id int primary key, updated_at timestamptz not null);
