//! A schema with empty copies of a projection's tables, alike in everything: columns, checks, storage, index and
//! constraint names, comments, row-level security, grants. What LIKE does not copy is read from the catalogue.

use sqlx::{Executor, PgConnection};

use crate::error::Error;
use crate::projection::Projection;

/// The copies.
pub(super) struct Mirror {
    projection: &'static str,
    schema: String,
    tables: &'static [&'static str],
    /// The newest migration before they were made.
    made_at: i64,
}

const NEWEST_MIGRATION: &str = "SELECT coalesce(max(version), 0) FROM public._sqlx_migrations";

// Statements that give a copy what LIKE leaves out. They name tables without a schema and are run under the copies'.
const CARRY_OVER: &str = "
WITH live AS (
    SELECT c.oid, c.relname, c.reloptions, c.relacl, c.relrowsecurity, c.relforcerowsecurity
    FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname = ANY($1)
)
SELECT format('ALTER TABLE %I SET (%s)', relname, array_to_string(reloptions, ', ')) FROM live
WHERE reloptions IS NOT NULL
UNION ALL
SELECT format('COMMENT ON TABLE %I IS %L', relname, obj_description(oid, 'pg_class')) FROM live
WHERE obj_description(oid, 'pg_class') IS NOT NULL
UNION ALL
SELECT format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', relname) FROM live WHERE relrowsecurity
UNION ALL
SELECT format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', relname) FROM live WHERE relforcerowsecurity
UNION ALL
SELECT format('CREATE POLICY %I ON %I AS %s FOR %s TO %s%s%s', p.policyname, p.tablename, p.permissive, p.cmd,
    (SELECT string_agg(CASE role WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(role) END, ', ')
     FROM UNNEST(p.roles) AS roles (role)),
    ' USING (' || p.qual || ')', ' WITH CHECK (' || p.with_check || ')')
FROM pg_policies p WHERE p.schemaname = 'public' AND p.tablename = ANY($1)
UNION ALL
SELECT format('GRANT %s ON %I TO %s', acl.privilege_type, relname,
    CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END)
FROM live, aclexplode(relacl) AS acl";

// LIKE makes up index names; equal definitions on equal tables pair the copies with the live ones.
const INDEX_NAMES: &str = r"
WITH named AS (
    SELECT n.nspname AS schema_name, c.relname AS table_name, i.relname AS index_name,
        regexp_replace(pg_get_indexdef(i.oid), '^CREATE (UNIQUE )?INDEX \S+ ON \S+ ', '\1') AS definition
    FROM pg_index x
    JOIN pg_class i ON i.oid = x.indexrelid
    JOIN pg_class c ON c.oid = x.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('public', $1) AND c.relname = ANY($2)
), numbered AS (
    SELECT *, row_number() OVER (PARTITION BY schema_name, table_name, definition ORDER BY index_name) AS nth FROM named
)
SELECT quote_ident(copy.index_name), quote_ident(live.index_name)
FROM numbered AS live JOIN numbered AS copy USING (table_name, definition, nth)
WHERE live.schema_name = 'public' AND copy.schema_name = $1";

// Indexes by which no event looks rows up: a deleted target's rows are looked up by the target, all others by a unique key.
const FOR_READERS: &str = "
SELECT quote_ident(i.relname), pg_get_indexdef(i.oid)
FROM pg_index x
JOIN pg_class i ON i.oid = x.indexrelid
JOIN pg_class c ON c.oid = x.indrelid
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = x.indkey[0]
WHERE c.relnamespace = $1::regnamespace AND NOT x.indisunique AND a.attname IS DISTINCT FROM 'target_id'
ORDER BY i.relname";

impl Mirror {
    pub(super) fn of(projection: &dyn Projection) -> Self {
        let (name, tables) = (projection.name(), projection.tables());
        Self { projection: name, schema: format!("rebuild_{name}"), tables, made_at: 0 }
    }

    pub(super) fn schema(&self) -> &str {
        &self.schema
    }

    pub(super) fn tables(&self) -> &'static [&'static str] {
        self.tables
    }

    /// Makes the copies and makes the connection use them. Foreign keys are not copied: no read model has one.
    /// Gives the statements that make the indexes for readers, which the copies lack: see [`Self::put_off_indexes`].
    pub(super) async fn create(&mut self, connection: &mut PgConnection) -> Result<Vec<String>, Error> {
        // First: what is changed after this may be missing from the copies.
        self.made_at = sqlx::query_scalar(NEWEST_MIGRATION).fetch_one(&mut *connection).await?;
        let schema = &self.schema;
        self.drop(connection).await?;
        sqlx::query("SET search_path = public").execute(&mut *connection).await?;
        let carried: Vec<String> = sqlx::query_scalar(CARRY_OVER).bind(self.tables).fetch_all(&mut *connection).await?;
        run(connection, &[format!("CREATE SCHEMA {schema}")]).await?;
        self.enter(connection).await?;
        let copy = |table| format!("CREATE TABLE {schema}.{table} (LIKE public.{table} INCLUDING ALL)");
        let statements: Vec<String> = self.tables.iter().map(copy).chain(carried).collect();
        run(connection, &statements).await?;
        self.rename_indexes(connection).await?;
        self.put_off_indexes(connection).await
    }

    /// Makes a connection use the copies.
    pub(super) async fn enter(&self, connection: &mut PgConnection) -> Result<(), Error> {
        run(connection, &[format!("SET search_path = {}, public", self.schema)]).await
    }

    /// Takes away the indexes that only readers use, and gives the statements that make them: over all rows at once that costs
    /// a part of what it costs row by row.
    async fn put_off_indexes(&self, connection: &mut PgConnection) -> Result<Vec<String>, Error> {
        let indexes: Vec<(String, String)> =
            sqlx::query_as(FOR_READERS).bind(&self.schema).fetch_all(&mut *connection).await?;
        let drops = indexes.iter().map(|(name, _)| format!("DROP INDEX {}.{name}", self.schema));
        run(connection, &drops.collect::<Vec<_>>()).await?;
        Ok(indexes.into_iter().map(|(_, definition)| definition).collect())
    }

    /// In two steps, as one copy's made-up name may be another one's real name. A constraint follows its index.
    async fn rename_indexes(&self, connection: &mut PgConnection) -> Result<(), Error> {
        let (schema, tables) = (&self.schema, self.tables);
        let pairs: Vec<(String, String)> =
            sqlx::query_as(INDEX_NAMES).bind(schema).bind(tables).fetch_all(&mut *connection).await?;
        let aside = pairs.iter().enumerate();
        let aside = aside.map(|(n, (copy, _))| format!("ALTER INDEX {schema}.{copy} RENAME TO rebuild_index_{n}"));
        let named = pairs.iter().enumerate();
        let named = named.map(|(n, (_, live))| format!("ALTER INDEX {schema}.rebuild_index_{n} RENAME TO {live}"));
        run(connection, &aside.chain(named).collect::<Vec<_>>()).await
    }

    /// Puts the copies in the live tables' place, unless the schema was migrated since they were made: they would lack what that has
    /// changed, such as a check that takes a new class.
    pub(super) async fn swap_in(&self, connection: &mut PgConnection) -> Result<(), Error> {
        let live: Vec<String> = self.tables.iter().map(|table| format!("public.{table}")).collect();
        let live = live.join(", ");
        // A migration that has changed one of them holds it until its own row is there, and one that comes after this finds the copies.
        run(connection, &[format!("LOCK TABLE {live} IN ACCESS EXCLUSIVE MODE")]).await?;
        let now: i64 = sqlx::query_scalar(NEWEST_MIGRATION).fetch_one(&mut *connection).await?;
        if now != self.made_at {
            return Err(Error::MigratedMeanwhile { projection: self.projection, before: self.made_at, now });
        }
        let mut statements = vec![format!("DROP TABLE {live}")];
        let move_in = |table| format!("ALTER TABLE {}.{table} SET SCHEMA public", self.schema);
        statements.extend(self.tables.iter().map(move_in));
        statements.push(format!("DROP SCHEMA {}", self.schema));
        run(connection, &statements).await
    }

    /// Tells the planner about the new tables.
    pub(super) async fn analyze(&self, connection: &mut PgConnection) -> Result<(), Error> {
        let statements: Vec<String> = self.tables.iter().map(|table| format!("ANALYZE public.{table}")).collect();
        run(connection, &statements).await
    }

    /// Drops the copies, those that a crashed rebuild left too.
    pub(super) async fn drop(&self, connection: &mut PgConnection) -> Result<(), Error> {
        run(connection, &[format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema)]).await
    }
}

/// Runs statements made of the catalogue's own, quoted names.
pub(super) async fn run(connection: &mut PgConnection, statements: &[String]) -> Result<(), Error> {
    for statement in statements {
        connection.execute(statement.as_str()).await?;
    }
    Ok(())
}
