-- Whether the unit of a listing is of an account now that the listing takes nothing from. Who does not have that account is not shown the unit's row,
-- which looks as if there were none: a unit that nobody has published yet could not be told from one that is elsewhere. So this looks as the owner of
-- the tables, whom row-level security does not bind. It says yes or no, and only of a listing that the transaction may see: of any other, no.
CREATE FUNCTION unit_is_elsewhere(listing uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM public.channel_listings AS l JOIN public.units AS u ON u.org_id = l.org_id AND u.unit_id = l.unit_id
        WHERE l.listing_id = listing AND public.reader_sees(l.org_id, l.account_id)
            AND u.account_id <> l.account_id AND u.account_id IS DISTINCT FROM l.from_account_id)
$$;

REVOKE EXECUTE ON FUNCTION unit_is_elsewhere(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION unit_is_elsewhere(uuid) TO distribution_reader;
