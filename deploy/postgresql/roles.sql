-- The roles of a PostgreSQL server for Tapeworks, made by its superuser. May be run again, and then
-- also sets their passwords again: docs/deployment.md. The files of the two passwords are named by
-- the environment variables OWNER_PASSWORD_FILE and READER_PASSWORD_FILE.
--
-- tapeworks owns the database and is no superuser: schedulers, and those who submit runs.
-- reader reads the history and nothing else: queries.
\set ON_ERROR_STOP on
\set owner_password `cat "$OWNER_PASSWORD_FILE"`
\set reader_password `cat "$READER_PASSWORD_FILE"`

SELECT format('CREATE ROLE %I', name) FROM unnest(ARRAY['tapeworks', 'reader']) AS name
    WHERE name NOT IN (SELECT rolname FROM pg_roles) \gexec

ALTER ROLE tapeworks LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD :'owner_password';
ALTER ROLE reader LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION CONNECTION LIMIT 20
    PASSWORD :'reader_password';
ALTER ROLE reader SET default_transaction_read_only = on;
ALTER ROLE reader SET temp_file_limit = '1GB';  -- which it cannot change, unlike its other settings

SELECT 'CREATE DATABASE tapeworks OWNER tapeworks'
    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'tapeworks') \gexec
REVOKE ALL ON DATABASE tapeworks FROM PUBLIC;
GRANT CONNECT ON DATABASE tapeworks TO reader;

\connect tapeworks
ALTER DEFAULT PRIVILEGES FOR ROLE tapeworks GRANT SELECT ON TABLES TO reader;
ALTER DEFAULT PRIVILEGES FOR ROLE tapeworks GRANT USAGE ON SCHEMAS TO reader;
GRANT USAGE ON SCHEMA public TO reader;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;
