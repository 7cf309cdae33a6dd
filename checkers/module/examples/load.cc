// SPDX-License-Identifier: Apache-2.0
//
// A module in C++: the server says its load, from 0 to 1, on a line of its own, and
// gets the less of its weight the higher that is.
//
//	c++ -shared -fPIC -o load.so load.cc

#include <algorithm>
#include <stdexcept>
#include <string>

#include <netdb.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "maitred_module.h"

namespace {

// Closes a socket, whatever happens.
class Socket {
	int fd;

public:
	Socket(const maitred_call *call)
	{
		addrinfo hints{}, *found;
		timeval limit{call->timeout_ms / 1000, static_cast<suseconds_t>(call->timeout_ms % 1000 * 1000)};

		hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
		hints.ai_socktype = SOCK_STREAM;
		if (getaddrinfo(call->address, std::to_string(call->port).c_str(), &hints, &found))
			throw std::runtime_error("not an address");
		fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)); // of connect, too
		int failed = connect(fd, found->ai_addr, found->ai_addrlen);
		freeaddrinfo(found);
		if (failed) {
			close(fd);
			throw std::runtime_error("no connection");
		}
	}
	~Socket() { close(fd); }
	Socket(const Socket &) = delete;
	Socket &operator=(const Socket &) = delete;

	std::string line()
	{
		std::string text;
		char c;

		while (text.size() < 100 && read(fd, &c, 1) == 1 && c != '\n')
			text += c;
		return text;
	}
};

// No exception may leave it: C is on the other side.
int check(const maitred_call *call, maitred_result *result)
try {
	std::string text = Socket(call).line();
	double load = std::clamp(std::stod(text), 0.0, 1.0);

	result->weight = std::max(1, static_cast<int>(100 * (1 - load)));
	return maitred_say(result, MAITRED_PASS, "the load is %s", text.c_str());
} catch (const std::exception &e) {
	return maitred_say(result, MAITRED_FAIL, "no load: %s", e.what());
}

} // namespace

MAITRED_MODULE("load", 0, check, nullptr, nullptr)
