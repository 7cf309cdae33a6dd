/* SPDX-License-Identifier: Apache-2.0 */
#include "maitred_module.h"
static int check(const struct maitred_call *call, struct maitred_result *result)
{
	return maitred_say(result, MAITRED_PASS, "hello, %s", call->address);
}
MAITRED_MODULE("hello", 0, check, 0, 0)
