/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A module with a client library that blocks: passes when PostgreSQL answers a
 * query with "t". Settings: conninfo (without host and port), query.
 *
 *	cc -shared -fPIC -I/usr/include/postgresql -o postgres.so postgres.c -lpq
 */
#include <libpq-fe.h>
#include <string.h>

#include "maitred_module.h"

static int check(const struct maitred_call *call, struct maitred_result *result)
{
	const char *query = maitred_arg(call, "query", "SELECT NOT pg_is_in_recovery()");
	int state = MAITRED_PASS;
	char where[1024];
	PGresult *answer;
	PGconn *conn;

	/* libpq counts the time to connect in whole seconds, 2 at least. A call
	 * that is late is given up by the daemon, whatever this thread does. */
	snprintf(where, sizeof(where), "%s host=%s port=%u connect_timeout=%u",
		 maitred_arg(call, "conninfo", ""), call->address, call->port,
		 call->timeout_ms / 1000 + 1);
	conn = PQconnectdb(where);
	if (PQstatus(conn) != CONNECTION_OK) {
		state = maitred_say(result, MAITRED_FAIL, "%s", PQerrorMessage(conn));
		PQfinish(conn);
		return state;
	}
	answer = PQexec(conn, query);
	if (PQresultStatus(answer) != PGRES_TUPLES_OK)
		state = maitred_say(result, MAITRED_FAIL, "%s", PQerrorMessage(conn));
	else if (PQntuples(answer) != 1 || strcmp(PQgetvalue(answer, 0, 0), "t"))
		state = maitred_say(result, MAITRED_FAIL, "%s is not true", query);
	else
		maitred_say(result, state, "%s is true", query);
	PQclear(answer);
	PQfinish(conn);
	return state;
}

MAITRED_MODULE("postgres", 0, check, 0, 0)
