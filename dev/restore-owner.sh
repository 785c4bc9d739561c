# Whose a restored database is, whether whoever restores may make it so, and what it takes over from the one before it: its
# settings and rights. Sourced by dev/restore, after postgres-clients.sh.
# Must stay true: nothing is made before every right is there, and whoever restores, the service's role can use what it gets.
# shellcheck shell=bash

# The database belongs to `owner`, what is in it to `holder`: the service's role, where another one made its database.
owner=
holder=
me=

# listed PATTERN: the last field of that line of the archive's contents: who owned it.
listed() { sed -nE "s/^[0-9]+; [0-9]+ [0-9]+ $1 (.+)\$/\\1/p" <<<"$contents" | head -n 1; }

# attribute NAME ROLE: the role is there and has it.
attribute() { [[ -n $(on_server "select 1 from pg_roles where $1 and rolname = $(literal "$2")") ]]; }

# can_be ROLE: we may make things that belong to it, and alter them.
can_be() {
    local set=MEMBER
    ((server < 160000)) || set=SET
    [[ -n $(on_server "select 1 from pg_roles where rolname = $(literal "$1")
        and pg_has_role(current_user, oid, 'USAGE') and pg_has_role(current_user, oid, '$set')") ]]
}

# choose_owner [ROLE]: the given one; else those of the database that is there; else those of the backup; else who restores.
choose_owner() {
    local given=$1 of_backup
    me=$(on_server 'select current_user')
    if [[ -n $given ]]; then
        attribute true "$given" || die "there is no role $given on this server: CREATE ROLE $(quoted "$given") LOGIN, or another --owner"
        owner=$given holder=$given
        return
    fi
    if [[ -n $there ]]; then
        owner=$(on_server "select pg_get_userbyid(datdba) from pg_database where datname = $(literal "$database")")
        # It may be damaged, or closed to us: that is what backups are for.
        holder=$(sql "$database" "select pg_get_userbyid(relowner) from pg_class where oid = to_regclass('public.events')" 2>/dev/null) || holder=
    fi
    [[ -z $holder ]] || return 0
    if [[ -n $owner ]] && ! attribute rolsuper "$owner"; then
        holder=$owner
        return
    fi
    # Who it is that the service runs as, only the backup knows.
    of_backup=$(listed 'TABLE public events')
    if attribute true "$of_backup"; then
        holder=$of_backup
    else
        holder=${owner:-$me}
        ! attribute rolsuper "$holder" || die "in the backup all belongs to $of_backup, and there is no such role on this server.
CREATE ROLE $(quoted "$of_backup") LOGIN first, or name the role that the service runs as by --owner"
        say "warning: in the backup all belongs to $of_backup, a role that this server lacks; here it will belong to $holder"
    fi
    [[ -z $owner ]] || return 0
    owner=$(listed "DATABASE - $(sed -E 's/[^A-Za-z0-9_ -]/./g' <<<"$named")")
    can_be "$owner" || owner=$holder
}

# What we may not do, a line each: what it is, and what mends it.
missing_rights() {
    local role mend
    ! attribute rolsuper "$me" || return 0
    attribute rolcreatedb "$me" || printf '%s may make no databases:\tALTER ROLE %s CREATEDB\n' "$me" "$(quoted "$me")"
    while read -r role; do
        ! can_be "$role" || continue
        mend="GRANT $(quoted "$role") TO $(quoted "$me")"
        if attribute rolsuper "$role"; then
            # Nobody is to get a superuser's rights for this, but where all of it is that one's there is no other way.
            [[ $role == "$holder" ]] || mend="ALTER DATABASE $(quoted "$database") OWNER TO $(quoted "$holder")"
            mend+=", or be $role"
        fi
        printf '%s cannot act as %s, whose this is:\t%s\n' "$me" "$role" "$mend"
    done < <(printf '%s\n' "$owner" "$holder" | sort -u)
    if ! attribute true distribution_reader; then
        attribute rolcreaterole "$me" ||
            printf 'there is no role distribution_reader:\tCREATE ROLE distribution_reader NOLOGIN; GRANT distribution_reader TO %s\n' "$(quoted "$holder")"
    elif [[ -z $(on_server "select 1 where pg_has_role($(literal "$holder"), 'distribution_reader', 'MEMBER')
        or pg_has_role(current_user, 'distribution_reader', 'USAGE WITH ADMIN OPTION')
        or ($server < 160000 and exists (select 1 from pg_roles where rolname = current_user and rolcreaterole))") ]]; then
        printf '%s does not have the role distribution_reader:\tGRANT distribution_reader TO %s\n' "$holder" "$(quoted "$holder")"
    fi
}

check_rights() {
    local missing
    missing=$(missing_rights)
    [[ -z $missing ]] || die "$me may not restore here, and nothing was done:
$(sed 's/^/  /; s/\t/  /' <<<"$missing")
Have a superuser do that, or be one: DATABASE_URL with its name. What is restored belongs to $holder either way."
}

# Roles are the server's and in no backup. The API reads as this one.
make_reader() {
    attribute true distribution_reader || on_server 'create role distribution_reader nologin' ||
        die "the role distribution_reader could not be made"
    [[ -n $(on_server "select 1 where pg_has_role($(literal "$holder"), 'distribution_reader', 'MEMBER')") ]] ||
        on_server "grant distribution_reader to $(quoted "$holder")" ||
        die "$holder could not be given the role distribution_reader"
}

# The empty database, like the one before it: owner, locale, tablespace.
make_fresh() {
    on_server "$(on_server "select format('create database %I owner %I template template0 encoding ''UTF8''', $(literal "$fresh"), $(literal "$owner"))
        || coalesce((select case when pg_encoding_to_char(encoding) <> 'UTF8' then '' else
            ' locale_provider ' || provider || format(' lc_collate %L lc_ctype %L', datcollate, datctype)
            || coalesce(' ' || provider || '_locale ' || quote_literal(coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale')), '')
            end || case when dattablespace = (select dattablespace from pg_database where datname = 'template0') then ''
                else format(' tablespace %I', spcname) end
            from pg_database d join pg_tablespace t on t.oid = dattablespace,
                lateral (select case datlocprovider when 'i' then 'icu' when 'b' then 'builtin' else 'libc' end) as p (provider)
            where datname = $(literal "$database")), '')")" || die "the database $fresh could not be made"
    made=yes
    [[ $holder != "$owner" ]] || return 0
    # Until the settings are taken over: a check of the read models makes a schema.
    on_server "grant connect, create, temporary on database $(quoted "$fresh") to $(quoted "$holder")"
    sql "$fresh" "grant usage, create on schema public to $(quoted "$holder")"
}

# as_holder COMMAND...: whatever it asks Postgres for, it asks for as the role whose all of it is.
as_holder() {
    local role=${holder//\\/\\\\}
    if [[ $holder == "$me" ]]; then
        "$@"
    else
        PGOPTIONS="${PGOPTIONS-} -c role=${role// /\\ }" "$@"
    fi
}

# Statements that give the new database what the one before it has: from the server's own catalogue, which is there where
# that database is damaged.
settings_before() {
    on_server "with d as (select * from pg_database where datname = $(literal "$database")),
        s as (select setrole, split_part(c, '=', 1) as name, substr(c, strpos(c, '=') + 1) as value
            from pg_db_role_setting, unnest(setconfig) as c where setdatabase = (select oid from d))
        select statement || ';' from (
            select format('revoke all on database %I from public, %I', $(literal "$fresh"), $(literal "$owner")) from d where datacl is not null
            union all
            select format('grant %s on database %I to %s', privilege_type, $(literal "$fresh"), case when grantee = 0 then 'public'
                when grantee = datdba then quote_ident($(literal "$owner")) else quote_ident(pg_get_userbyid(grantee)) end)
                || case when is_grantable then ' with grant option' else '' end
            from d, aclexplode(datacl)
            union all
            select format('alter database %I connection limit %s', $(literal "$fresh"), datconnlimit) from d where datconnlimit >= 0
            union all
            select format('comment on database %I is %L', $(literal "$fresh"), shobj_description(oid, 'pg_database')) from d
            where shobj_description(oid, 'pg_database') is not null
            union all
            select 'alter ' || case when setrole = 0 then '' else format('role %I in ', pg_get_userbyid(setrole)) end
                || format('database %I set %I to ', $(literal "$fresh"), name)
                || case when name not in ('search_path', 'temp_tablespaces', 'session_preload_libraries', 'local_preload_libraries')
                    then quote_literal(value) when value in ('', '\"\"') then '''''' else value end
            from s
        ) as statements (statement)"
}

# The same of the backup, where there was no database.
settings_of_backup() {
    local name
    name=$(on_server "select quote_ident($(literal "$named"))")
    awk -v name="$name" -v fresh="$(quoted "$fresh")" '
        /^(ALTER DATABASE|ALTER ROLE .* IN DATABASE|(GRANT|REVOKE) .* ON DATABASE) .*;$/ {
            at = index($0, "DATABASE " name " ")
            if (at) print substr($0, 1, at + 8) fresh substr($0, at + 9 + length(name))
        }' "$(statements "$(entries '(DATABASE PROPERTIES|ACL - DATABASE) ')" --create)"
}

# After the checks: a time-out or a limit of connections is the service's to meet, not theirs.
take_over_settings() {
    local statements
    [[ $holder == "$owner" ]] || on_server "revoke all on database $(quoted "$fresh") from $(quoted "$holder")"
    if [[ -n $there ]]; then statements=$(settings_before); else statements=$(settings_of_backup); fi
    [[ -n $statements ]] || return 0
    say "taking over settings and rights of the database"
    offer postgres <<<"$statements"
}

# What the service does first, as the role that it does it as.
check_holder() {
    local not_his
    not_his=$(as_holder sql "$fresh" "select c.oid::regclass::text from pg_class c
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'S') and pg_get_userbyid(relowner) <> current_user
            and not exists (select 1 from pg_depend where classid = 'pg_class'::regclass and objid = c.oid and deptype = 'e')
        union all
        select 'the schema public' where not (has_schema_privilege('public', 'usage') and has_schema_privilege('public', 'create'))") &&
        as_holder sql "$fresh" begin 'set local role distribution_reader' 'select from events limit 1' rollback >/dev/null ||
        die "$holder cannot use what was restored; $left"
    [[ -z $not_his ]] || die "$holder cannot use all of what was restored: ${not_his//$'\n'/, }; $left"
    [[ -n $(on_server "select 1 where has_database_privilege($(literal "$holder"), $(literal "$fresh"), 'connect')") ]] ||
        say "warning: $holder may not connect to it: GRANT CONNECT ON DATABASE $(quoted "$database") TO $(quoted "$holder")"
}
