/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interface between maitred and checks in shared objects. A whole module:
 *
 *	#include "maitred_module.h"
 *	static int check(const struct maitred_call *call, struct maitred_result *result)
 *	{
 *		return maitred_say(result, MAITRED_PASS, "hello, %s", call->address);
 *	}
 *	MAITRED_MODULE("hello", 0, check, 0, 0)
 *
 *	cc -shared -fPIC -o hello.so hello.c
 *
 * The module runs in a process of its own: it may crash, block and leak, and
 * only its own checks notice. What it prints goes to the daemon's log.
 *
 * Threads: each call has a thread of its own, and any number of calls run at the
 * same time. A module that uses a library which can't take that says so with
 * parallel = 1. init and fini run alone, before the first call and after the
 * last. fini does not run where the process has to be killed.
 *
 * Structs grow at their end alone, and each begins with its size: a field may be
 * used where MAITRED_HAS says that the other side has it.
 */
#ifndef MAITRED_MODULE_H
#define MAITRED_MODULE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Changes when modules have to be compiled anew; it does not for new fields. */
#define MAITRED_MODULE_ABI 1

/* Tells whether the struct behind p has the field. */
#define MAITRED_HAS(p, field) \
	((p)->size >= (uint32_t)((const char *)(&(p)->field + 1) - (const char *)(p)))

/* What a check finds. */
enum maitred_state {
	MAITRED_UNKNOWN = 0, /* could not tell: says nothing of the server */
	MAITRED_PASS = 1,
	MAITRED_DEGRADED = 2, /* a pass of a server that should get less */
	MAITRED_FAIL = 3,
};

/* What a server asks for whatever its health. */
enum maitred_hint {
	MAITRED_HINT_NONE = 0,
	MAITRED_HINT_DRAIN = 1, /* no new connections */
	MAITRED_HINT_MAINT = 2, /* none at all */
};

/* A setting of the check in the configuration. */
struct maitred_arg {
	const char *name;
	const char *value;
};

/* What is to be checked. All of it is gone when check returns. */
struct maitred_call {
	uint32_t size;
	uint32_t timeout_ms;	   /* a later result is not heard, and counts as a failure */
	const char *address;	   /* of the real server: 192.0.2.1 or 2001:db8::1 */
	const struct maitred_arg *args;
	uint32_t nargs;
	uint16_t port;
	uint16_t reserved;
};

#define MAITRED_MESSAGE 240

/* Where check puts what it has to say besides its state. It is all zero before. */
struct maitred_result {
	uint32_t size;
	int32_t weight; /* percent of its weight that the server should have, 1 to 1000; 0: no say */
	int32_t hint;	/* enum maitred_hint */
	char message[MAITRED_MESSAGE + 4]; /* for people; ends with a zero byte */
};

struct maitred_module {
	uint32_t size;
	uint32_t abi;
	const char *name;
	int (*check)(const struct maitred_call *call, struct maitred_result *result); /* enum maitred_state */
	int (*init)(void);  /* may be null; not 0: the module can't work */
	void (*fini)(void); /* may be null */
	uint32_t parallel;  /* calls at a time; 0: as many as there are, at most 256 */
	uint32_t reserved;
};

/* Defines the one symbol that maitred looks for. */
#ifdef __cplusplus
#define MAITRED_EXPORT extern "C" __attribute__((visibility("default")))
#else
#define MAITRED_EXPORT __attribute__((visibility("default")))
#endif
#define MAITRED_MODULE(name, parallel, check, init, fini)                                \
	MAITRED_EXPORT const struct maitred_module maitred_module = {                    \
		sizeof(struct maitred_module), MAITRED_MODULE_ABI, name, check, init,    \
		fini, parallel, 0                                                        \
	};

/* Writes the message as printf does, cut to what there is room for, and returns
 * the state. */
__attribute__((format(printf, 3, 4), unused))
static int maitred_say(struct maitred_result *result, int state, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(result->message, sizeof(result->message), format, args);
	va_end(args);
	return state;
}

/* The value of a setting, or fallback where there is none. */
__attribute__((unused))
static const char *maitred_arg(const struct maitred_call *call, const char *name, const char *fallback)
{
	uint32_t i;

	for (i = 0; i < call->nargs; i++) {
		const char *a = call->args[i].name, *b = name;

		while (*a && *a == *b) {
			a++;
			b++;
		}
		if (*a == *b)
			return call->args[i].value;
	}
	return fallback;
}

#ifdef __cplusplus
}
#endif

#endif /* MAITRED_MODULE_H */
