/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least that checks cost, and what they ask: one thread, one epoll, no
 * options.
 *
 *	epoll serve PORT                         accepts, answers requests, hangs up
 *	epoll tcp|http PORT TARGETS MS SECONDS   checks 127.x.y.z, each once in MS
 *
 * A checker prints "runs failures cpu-us p50-us p99-us max-us rss-kb".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: maitred\r\nConnection: close\r\n\r\n";
static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK";

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static struct sockaddr_in address(uint32_t host, int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	a.sin_addr.s_addr = htonl(host);
	return a;
}

static void hang_up_hard(int fd)
{
	struct linger none = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	close(fd);
}

static void serve(int port)
{
	int l = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), ep = epoll_create1(0), yes = 1;
	struct sockaddr_in a = address(INADDR_ANY, port);
	struct epoll_event e = { .events = EPOLLIN, .data.fd = l }, ready[256];
	char buffer[4096];

	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(l, (struct sockaddr *)&a, sizeof(a)) || listen(l, 65535) || epoll_ctl(ep, EPOLL_CTL_ADD, l, &e))
		die("listen");
	puts("ready");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(ep, ready, 256, -1);

		for (int i = 0; i < n; i++) {
			int fd = ready[i].data.fd;
			ssize_t got;

			if (fd == l) {
				while ((fd = accept4(l, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
					struct epoll_event c = { .events = EPOLLIN | EPOLLRDHUP, .data.fd = fd };

					epoll_ctl(ep, EPOLL_CTL_ADD, fd, &c);
				}
				continue;
			}
			got = read(fd, buffer, sizeof(buffer));
			if (got > 0)
				got = write(fd, answer, sizeof(answer) - 1);
			close(fd);
		}
	}
}

struct run {
	int fd;
	int64_t began;
};

struct tally {
	long runs, failures, late_n;
	int *late; // microseconds
};

static int by_size(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static void report(struct tally *t)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	qsort(t->late, t->late_n, sizeof(int), by_size);
	printf("%ld %ld %lld %d %d %d %ld\n", t->runs, t->failures,
	       (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000LL + u.ru_utime.tv_usec + u.ru_stime.tv_usec,
	       t->late[t->late_n / 2], t->late[t->late_n * 99 / 100], t->late[t->late_n - 1], u.ru_maxrss);
}

// finish goes on with a connection on which something has happened. It returns
// whether the run is over.
static int finish(int ep, int fd, uint32_t events, int http, struct tally *t)
{
	char buffer[4096];
	int error = 0;
	socklen_t size = sizeof(error);
	ssize_t got;

	if (!http || !(events & EPOLLIN)) {
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
		if (http && !error && write(fd, request, sizeof(request) - 1) > 0) {
			struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

			return epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e) ? 1 : 0;
		}
		t->failures += error || http;
		hang_up_hard(fd);
		return 1;
	}
	got = read(fd, buffer, sizeof(buffer));
	t->failures += got < 12 || memcmp(buffer, "HTTP/1.1 200", 12) != 0;
	close(fd);
	return 1;
}

static void check(int http, int port, long targets, int64_t interval, int64_t lasts)
{
	int ep = epoll_create1(0);
	int64_t begin = now_us(), next = 0;
	long in_flight = 0;
	struct epoll_event ready[256];
	struct tally t = { .late = malloc(sizeof(int) * (targets * (lasts / interval + 2))) };

	while (in_flight || begin + next * interval / targets < begin + lasts) {
		int64_t due = begin + next * interval / targets, now = now_us();
		int n, wait = 0;

		if (due < begin + lasts && due <= now) {
			struct sockaddr_in a = address(0x7f010000 + (uint32_t)(next % targets), port);
			int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
			struct epoll_event e = { .events = EPOLLOUT, .data.fd = fd };

			if (fd < 0)
				die("socket");
			t.late[t.late_n++] = now - due;
			next++, t.runs++;
			if (connect(fd, (struct sockaddr *)&a, sizeof(a)) && errno != EINPROGRESS) {
				t.failures++;
				close(fd);
				continue;
			}
			// On loopback the handshake is mostly over when connect returns.
			if (http && write(fd, request, sizeof(request) - 1) > 0)
				e.events = EPOLLIN;
			epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
			in_flight++;
		} else if (due < begin + lasts) {
			wait = (due - now + 999) / 1000;
		} else {
			wait = 1000;
		}
		n = epoll_wait(ep, ready, 256, wait);
		for (int i = 0; i < n; i++)
			in_flight -= finish(ep, ready[i].data.fd, ready[i].events, http, &t);
	}
	report(&t);
}

int main(int argc, char **argv)
{
	struct rlimit files;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (argc == 3 && !strcmp(argv[1], "serve"))
		serve(atoi(argv[2]));
	if (argc == 6)
		check(!strcmp(argv[1], "http"), atoi(argv[2]), atol(argv[3]), atoll(argv[4]) * 1000, atoll(argv[5]) * 1000000);
	return argc == 6 ? 0 : 2;
}
